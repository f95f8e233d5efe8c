"""The scripted delivery of the fake engine: exact messages, each once, wherever the stream is cut."""

from __future__ import annotations

import random

import msgspec
import pytest
from talkup.v1 import analysis_pb2

from workers.fake.delivery import DeliveryState, FakeDelivery

MEDIA_MS = 23_400
WORDS = [(f"word{number}", 250 * number) for number in range(MEDIA_MS // 250)]


def whole_stream(commits: list[int], *, resume: bool) -> list[analysis_pb2.Analysis]:
    """The messages of a stream that is committed at these places; `resume`: taken over by another worker at each."""
    delivery = FakeDelivery(DeliveryState(origin_unix_ms=7))
    messages: list[analysis_pb2.Analysis] = []
    said = 0
    for covered in [*commits, MEDIA_MS]:
        ended = sum(start + 250 <= covered for _, start in WORDS)
        delivery.add(WORDS[said:ended])
        said = ended
        messages += delivery.advance(covered)
        if resume:
            state = msgspec.msgpack.encode(delivery.state)
            delivery = FakeDelivery(msgspec.msgpack.decode(state, type=DeliveryState))
    return [*messages, delivery.finish(MEDIA_MS)]


def test_frames_windows_and_a_summary_as_scripted() -> None:
    messages = whole_stream([MEDIA_MS], resume=False)
    assert [message.frame_seq for message in messages] == list(range(26))
    assert all(message.delivery.origin_unix_ms == 7 for message in messages)
    frames = [message.delivery.frame for message in messages if message.delivery.HasField("frame")]
    assert [(frame.t0_ms, frame.t1_ms) for frame in frames] == [(1000 * n, 1000 * (n + 1)) for n in range(23)]
    assert {frame.words_per_minute.value for frame in frames} == {240}
    windows = [message.delivery.window for message in messages if message.delivery.HasField("window")]
    assert [(window.t1_ms, window.words, window.syllables) for window in windows] == [
        (10_000, 40, 160),
        (20_000, 40, 160),
    ]
    events = [
        (event.t0_ms, event.HasField("t1_ms") and event.t1_ms) for message in messages for event in message.events
    ]
    assert events == [(10_000, False), (10_000, 20_000)]
    summary = messages[-1].delivery.summary
    assert (summary.whole.words, summary.whole.t1_ms, summary.whole.whole_session) == (93, MEDIA_MS, True)
    assert [point.media_time_ms for point in summary.pace] == [5_000, 15_000, 21_700]
    assert [(moment.type, moment.words) for moment in summary.moments] == [("fastest", "word0 word1 word2 word3 word4")]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("resume", [False, True])
def test_the_messages_do_not_depend_on_where_the_stream_is_committed(seed: int, resume: bool) -> None:
    commits = sorted(random.Random(seed).sample(range(MEDIA_MS), 9))
    assert whole_stream(commits, resume=resume) == whole_stream([], resume=False)
