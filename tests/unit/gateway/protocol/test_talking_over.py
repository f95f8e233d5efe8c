"""Two streams of one session that speak at once: one event, of the one who began second."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import analysis_pb2, task_pb2, transcript_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol.actions import Action, CountForgotten, StoreSegment, StoreSnapshot
from gateway.protocol.session import Session
from gateway.protocol.snapshot import RestoredStream, decode_snapshot
from gateway.protocol.talking_over import TalkingOver
from gateway.protocol.turns import MIN_OVERLAP_MS, Overlap, Span, TurnTaking
from tests.unit.gateway.protocol.helpers import T0, ended, key, open_session, sent, text

ORIGINS = {"a": 1_739_592_000_000, "b": 1_739_592_004_000}


class Call:
    """A session of streams whose delivery is measured, and what its store keeps."""

    def __init__(self, *streams: str, session: Session | None = None) -> None:
        self.session = session or open_session()
        self.kept: dict[str, RestoredStream] = {}
        self.segments = itertools.count(1)
        for stream_id in streams:
            start = {"format": "audio/pcm", "sample_rate": 16_000, "services": ["stt", "delivery"]}
            self.record(text(self.session, T0, type="stream_start", stream_id=stream_id, **start))

    def say(self, stream_id: str, *words: tuple[int, int], until: int, sound: bool = False) -> list[dict[str, Any]]:
        """A final of these words (ms of its media), and that everything before `until` is final.

        `sound`: the stream's sound is measured, and comes by itself.
        """
        transcript = transcript_pb2.Transcript(segment_id=next(self.segments), is_final=True, text="word")
        transcript.words.extend(transcript_pb2.Word(text="word", start_ms=t0, end_ms=t1) for t0, t1 in words)
        delivery = analysis_pb2.Analysis(delivery=analysis_pb2.Delivery(origin_unix_ms=ORIGINS[stream_id]))
        progress = task_pb2.Progress(committed_media_ms=until)
        result = task_pb2.TaskResult(transcript=transcript, progress=progress, delivery=[] if sound else [delivery])
        return self.events(self.session.receive_result(key(stream_id), result, T0))

    def hear(self, stream_id: str, *stretches: tuple[int, int], settled: int) -> list[dict[str, Any]]:
        """A frame of delivery with these stretches of sound; later ones begin at `settled`."""
        speech = analysis_pb2.DeliverySpeech(settled_ms=settled)
        speech.stretches.extend(analysis_pb2.SpeechStretch(t0_ms=t0, t1_ms=t1) for t0, t1 in stretches)
        delivery = analysis_pb2.Delivery(origin_unix_ms=ORIGINS[stream_id], speech=speech)
        delivery.frame.t1_ms = settled
        progress = task_pb2.Progress(committed_media_ms=settled)
        result = task_pb2.TaskResult(progress=progress, delivery=[analysis_pb2.Analysis(delivery=delivery)])
        return self.events(self.session.receive_result(key(stream_id), result, T0))

    def frame(self, stream_id: str, second: int) -> list[dict[str, Any]]:
        """A frame that ends with this second, of a worker that says nothing of stretches of sound."""
        delivery = analysis_pb2.Delivery(origin_unix_ms=ORIGINS[stream_id])
        delivery.frame.t1_ms = 1000 * second
        progress = task_pb2.Progress(committed_media_ms=1000 * second)
        result = task_pb2.TaskResult(progress=progress, delivery=[analysis_pb2.Analysis(delivery=delivery)])
        return self.events(self.session.receive_result(key(stream_id), result, T0))

    def end(self, stream_id: str) -> list[dict[str, Any]]:
        text(self.session, T0, type="stream_end", stream_id=stream_id)
        return self.events(self.session.receive_result(key(stream_id), ended(), T0))

    def events(self, actions: list[Action]) -> list[dict[str, Any]]:
        found = [each["data"] for each in sent(self.record(actions), "analysis_result")]
        return [{"stream_id": data["stream_id"], **event} for data in found for event in data["events"]]

    def record(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            if isinstance(action, StoreSegment | StoreSnapshot) and action.snapshot is not None:
                stream_id = action.snapshot.stream_id
                _, finals, analyses = self.kept.get(stream_id, RestoredStream(action.snapshot, []))
                more = [action.transcript.transcript] if isinstance(action, StoreSegment) else []
                keys: dict[str, StoredAnalysis] = {each.key: each for each in (*analyses, *action.analyses)}
                snapshot = decode_snapshot(action.snapshot.encode())
                self.kept[stream_id] = RestoredStream(snapshot, [*finals, *more], list(keys.values()))
        return actions

    def successor(self) -> tuple[Call, list[dict[str, Any]]]:
        """The session at another gateway, and the events that it reports at once."""
        session = Session("s-1")
        actions = session.restore(self.kept.values(), self.kept, T0)
        actions += session.connected(T0, resume_token="t", expires_at=1)
        call = Call(session=session)
        call.kept, call.segments = dict(self.kept), self.segments
        return call, call.events(actions)


def talking_over(stream_id: str, t0_ms: int, t1_ms: int, confidence: float) -> dict[str, Any]:
    return {
        "stream_id": stream_id,
        "type": "talking_over",
        "t0_ms": t0_ms,
        "t1_ms": t1_ms,
        "confidence": confidence,
    }


def test_the_one_who_began_second_talks_over() -> None:
    """`b` began four seconds later, so its first second is the fifth of `a`."""
    call = Call("a", "b")
    assert call.say("a", (4000, 6000), until=7000) == []
    assert call.say("b", (1000, 3000), until=3500) == [talking_over("b", 1000, 2000, 1.0)]


def test_the_order_in_which_words_become_final_does_not_matter() -> None:
    call = Call("a", "b")
    assert call.say("b", (1000, 3000), until=3500) == []
    assert call.say("a", (4000, 5600), until=5700) == []
    assert call.say("a", (5700, 6000), until=7000) == [talking_over("b", 1000, 2000, 1.0)]


def test_a_short_overlap_does_not_count() -> None:
    call = Call("a", "b")
    call.say("a", (4000, 6000), until=7000)
    assert call.say("b", (2000 - MIN_OVERLAP_MS + 1, 3000), until=3500) == []
    call = Call("a", "b")
    call.say("a", (4000, 6000), until=7000)
    assert call.say("b", (2000 - MIN_OVERLAP_MS, 3000), until=3500) == [talking_over("b", 1500, 2000, 0.5)]


def test_the_last_words_of_a_stream_count_before_it_ends() -> None:
    call = Call("a", "b")
    call.say("a", (4000, 6000), until=7000)
    assert call.say("b", (1000, 3000), until=3000) == []
    assert call.end("b") == [talking_over("b", 1000, 2000, 1.0)]
    assert call.end("a") == []


def test_a_stream_that_is_over_gets_no_event_any_more() -> None:
    call = Call("a", "b")
    call.say("b", (1000, 3000), until=3500)
    call.end("b")
    assert call.say("a", (4000, 6000), until=7000) == []


def test_another_gateway_reports_what_the_first_did_not() -> None:
    call = Call("a", "b")
    call.say("a", (4000, 6000), until=7000)
    call.say("b", (1000, 3000), until=3000)
    second, events = call.successor()
    assert events == []
    assert second.say("b", (3400, 3500), until=4000) == [talking_over("b", 1000, 2000, 1.0)]
    third, events = second.successor()
    assert events == []
    assert third.end("a") == []


def test_what_died_with_a_gateway_before_it_was_stored_is_reported() -> None:
    call = Call("a", "b")
    call.say("a", (4000, 6000), until=7000)
    before = call.kept["b"]
    assert call.say("b", (1000, 3000), until=3500) != []
    _, finals, _ = call.kept["b"]
    # The final was stored with its state; the event has a write of its own.
    snapshot = call.kept["b"].snapshot
    call.kept["b"] = RestoredStream(snapshot, finals, before.analyses)
    _, events = call.successor()
    assert events == [talking_over("b", 1000, 2000, 1.0)]


def test_another_gateway_reports_it_whichever_stream_it_reads_first() -> None:
    """The first stream has ended; the second, which talks over it, comes first."""
    call = Call("b", "a")
    call.say("b", (1000, 3000), until=3500)
    before = call.kept["b"].snapshot, call.kept["b"].finals
    assert call.say("a", (4000, 6000), until=7000) != []
    call.end("a")
    call.kept["b"] = RestoredStream(*before)
    _, events = call.successor()
    assert events == [talking_over("b", 1000, 2000, 1.0)]


def test_the_edges_of_an_overlap_are_those_of_the_sound() -> None:
    """The last word of `a` ends 500 ms before its sound, the first one of `b` begins 200 ms after it."""
    call = Call("a", "b")
    call.hear("a", settled=4000)
    call.hear("b", settled=900)
    assert call.say("a", (4000, 5500), until=7000, sound=True) == []
    assert call.say("b", (1200, 3000), until=4000, sound=True) == []
    assert call.hear("a", (4000, 6000), settled=7000) == []
    assert call.hear("b", (1000, 2900), settled=4000) == [talking_over("b", 1000, 2000, 1.0)]


def test_where_a_worker_that_measures_no_sound_goes_on_words_keep_their_own_times() -> None:
    call = Call("a", "b")
    call.hear("a", settled=2000)
    call.hear("b", (100, 300), settled=900)
    call.say("b", (1000, 3000), until=3500, sound=True)
    call.say("a", (4000, 6000), until=7000, sound=True)
    assert call.frame("b", 4) == []
    assert call.frame("a", 7) == [talking_over("b", 1000, 2000, 1.0)]


def test_where_sound_is_measured_again_its_edges_count_again() -> None:
    call = Call("a", "b")
    call.hear("a", settled=2000)
    call.frame("a", 3)
    call.hear("a", settled=4000)
    call.hear("b", settled=900)
    call.say("a", (4000, 5800), until=7000, sound=True)
    call.say("b", (1200, 3000), until=3500, sound=True)
    call.hear("a", (4000, 6000), settled=7000)
    assert call.hear("b", (1000, 2900), settled=4000) == [talking_over("b", 1000, 2000, 1.0)]


def test_sound_that_comes_with_the_end_counts() -> None:
    call = Call("a", "b")
    call.hear("a", settled=4000)
    call.hear("b", settled=900)
    call.say("a", (4000, 5500), until=7000, sound=True)
    call.hear("a", (4000, 6000), settled=7000)
    call.say("b", (1200, 3000), until=4000, sound=True)
    text(call.session, T0, type="stream_end", stream_id="b")
    last = ended()
    speech = analysis_pb2.DeliverySpeech(stretches=[analysis_pb2.SpeechStretch(t0_ms=1000, t1_ms=2900)])
    summary = analysis_pb2.DeliverySummary()
    last.delivery.append(analysis_pb2.Analysis(delivery=analysis_pb2.Delivery(summary=summary, speech=speech)))
    events = call.events(call.session.receive_result(key("b"), last, T0))
    assert events == [talking_over("b", 1000, 2000, 1.0)]


def test_another_gateway_knows_the_sound_that_no_window_holds_yet() -> None:
    call = Call("a", "b")
    call.hear("a", settled=4000)
    call.hear("b", settled=900)
    call.say("a", (4000, 5500), until=7000, sound=True)
    call.hear("a", (4000, 6000), settled=7000)
    call.say("b", (1200, 3000), until=4000, sound=True)
    second, events = call.successor()
    assert events == []
    assert second.hear("b", (1000, 2900), settled=4000) == [talking_over("b", 1000, 2000, 1.0)]
    third, events = second.successor()
    assert events == []
    assert third.end("b") == []


def test_speech_that_waits_too_long_for_a_silent_stream_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.talking_over.MAX_STRETCHES", 2)
    call = Call("a", "b")
    actions: list[Action] = []
    perform = call.record
    monkeypatch.setattr(call, "record", lambda more: actions.extend(more) or perform(more))
    call.say("a", (0, 100), (1000, 1100), (2000, 2100), (3000, 3100), until=9000)
    assert [each for each in actions if isinstance(each, CountForgotten)] == [CountForgotten("stretches", 2)]


def test_words_that_wait_too_long_for_their_clock_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.delivery.MAX_WORDS", 1)
    call = Call("a")
    actions: list[Action] = []
    perform = call.record
    monkeypatch.setattr(call, "record", lambda more: actions.extend(more) or perform(more))
    call.say("a", (0, 100), (1000, 1100), (2000, 2100), until=9000, sound=True)
    assert [each for each in actions if isinstance(each, CountForgotten)] == [CountForgotten("words", 2)]


def test_streams_without_delivery_have_no_clock() -> None:
    call = Call("a")
    text(call.session, T0, type="stream_start", stream_id="b", format="audio/pcm", sample_rate=16_000)
    call.say("a", (4000, 6000), until=7000)
    assert call.say("b", (1000, 3000), until=3500) == []


Said = tuple[str, int, int]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.integers(1, 20)), max_size=14),
    st.randoms(use_true_random=False),
)
def test_every_overlap_is_found_once_in_whatever_order_streams_are_heard(
    words: list[tuple[str, int, int]], rng: Any
) -> None:
    """The same as from all words at once."""
    taking, talking = TurnTaking(), TalkingOver()
    waiting: dict[str, list[Span]] = {"a": [], "b": [], "c": []}
    for stream_id, begin, length in words:
        taking.add(stream_id, 100 * begin, 100 * (begin + length))
        waiting[stream_id].append(Span(100 * begin, 100 * (begin + length)))
    for stream_id, spans in waiting.items():
        spans.sort()
        talking.expect(stream_id)
    found: list[Overlap] = []
    while any(waiting.values()):
        stream_id = rng.choice([each for each, spans in waiting.items() if spans])
        spans = waiting[stream_id]
        found += talking.hear(stream_id, [spans.pop(0)], spans[0].t0_ms if spans else math.inf)
    found += talking.close(waiting)
    expected = [each for each in taking.overlaps if each.length_ms >= MIN_OVERLAP_MS]
    order = lambda each: (each.t0_ms, each.t1_ms, each.first, each.second)  # noqa: E731
    assert sorted(found, key=order) == sorted(expected, key=order)


@pytest.mark.parametrize("streams", [("a",), ("a", "b")])
def test_nothing_is_kept_with_which_nothing_can_overlap_any_more(streams: tuple[str, ...]) -> None:
    talking = TalkingOver()
    for second in range(200):
        for stream_id in streams:
            talking.hear(stream_id, [Span(1000 * second, 1000 * second + 500)], 1000 * (second + 1))
    assert all(len(voice.closed) <= 1 for voice in talking._voices.values())
    talking.close(streams)
    assert talking._voices == {}
