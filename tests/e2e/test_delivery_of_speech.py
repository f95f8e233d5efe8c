"""Real speech through the gateway and a real worker: words and delivery of the same media, twice at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from talkup_client import AnalysisResult, Client, TranscriptUpdate
from talkup_client.stream import Stream

from bench.harness.stack import KEY, Stack, running_stack
from gateway.protocol.spoken import spoken
from gateway.protocol.turns import MIN_OVERLAP_MS, Span, TurnTaking, joined

pytestmark = pytest.mark.model

SPEECH = Path(__file__).parents[1] / "data" / "speech" / "interview.ogg"
STARTED_AT = 1_739_592_334_000
LATER_MS = 3_000
PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "8"}
    folder = tmp_path_factory.mktemp("speech")
    with running_stack(folder=folder, worker_arguments=("stt",), worker_settings=settings) as running:
        yield running


class Heard:
    """What came of one stream."""

    def __init__(self) -> None:
        self.words: list[Span] = []
        self.results: list[AnalysisResult] = []

    async def read(self, stream: Stream) -> None:
        async for event in stream:
            if isinstance(event, TranscriptUpdate) and event.is_final:
                self.words += [Span(word.start_ms, word.end_ms) for word in event.words]
            elif isinstance(event, AnalysisResult):
                self.results.append(event)

    def sound(self) -> list[Span]:
        """The stretches of speech by the sound."""
        parts = [result.delivery.speech for result in self.results if result.delivery is not None]
        return [Span(each.t0_ms, each.t1_ms) for part in parts if part is not None for each in part]

    def overlaps(self) -> list[tuple[int, int]]:
        events = [event for result in self.results for event in result.data["events"]]
        return [(event["t0_ms"], event["t1_ms"]) for event in events if event["type"] == "talking_over"]


async def say(stream: Stream) -> None:
    """Say everything and wait until it is final: a stream that has ended gets no event any more."""
    spoken = SPEECH.read_bytes()
    for at in range(0, len(spoken), 2000):
        await stream.send(spoken[at : at + 2000])
    await stream.flush()


def report_of(stack: Stack, session_id: str) -> Any:
    url = f"{stack.http_url}/v1/sessions/{session_id}/report"
    with urlopen(Request(url, headers={"Authorization": f"Bearer {KEY}"}), timeout=20) as answer:
        return json.loads(answer.read())


async def test_two_people_who_say_the_same_three_seconds_apart(stack: Stack) -> None:
    options = {"format": "audio/ogg;codecs=opus", "services": ["stt", "delivery"], "language": "en"}
    first, second = Heard(), Heard()
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(stack.ws_url, key=KEY) as client,
        client.stream(**options, started_at=STARTED_AT) as one,
        client.stream(**options, started_at=STARTED_AT + LATER_MS) as other,
    ):
        reading = asyncio.create_task(first.read(one)), asyncio.create_task(second.read(other))
        await asyncio.gather(say(one), say(other))
        # The sound of the last second is certain at the end alone: of the one who is earlier on the clock first.
        await one.end()
        await reading[0]
        await other.end()
        await reading[1]
        report = await asyncio.to_thread(report_of, stack, client.session_id)
    for heard in (first, second):
        assert [result.data["frame_seq"] for result in heard.results] == list(range(len(heard.results)))
        seconds = [frame.t0_ms for result in heard.results if (frame := result.delivery and result.delivery.frame)]
        assert seconds == [1000 * second for second in range(16)]
        last = heard.results[-1].delivery
        assert last is not None
        assert last.summary is not None
        assert last.summary.whole is not None
        assert last.summary.whole.words == len(heard.words) > 30
    taking = TurnTaking()
    for name, heard, later_ms in (("one", first, 0), ("other", second, LATER_MS)):
        for t0_ms, t1_ms in spoken(heard.words, heard.sound()):
            taking.add(name, t0_ms + later_ms, t1_ms + later_ms)
    overlaps = [each for each in taking.overlaps if each.length_ms >= MIN_OVERLAP_MS]
    assert overlaps
    assert first.sound() == second.sound()
    for heard, name, later_ms in ((first, "one", 0), (second, "other", LATER_MS)):
        expected = [(each.t0_ms - later_ms, each.t1_ms - later_ms) for each in overlaps if each.second == name]
        assert sorted(heard.overlaps()) == expected
    assert report["complete"]
    assert [speaker["measures"]["words"]["value"] for speaker in report["speakers"]] == [
        len(first.words),
        len(second.words),
    ]
    said = [[(each["t0_ms"], each["t1_ms"]) for each in speaker["speech"]] for speaker in report["speakers"]]
    assert said[0] == [(t0_ms, t1_ms) for t0_ms, t1_ms in joined(spoken(first.words, first.sound()))]
    assert said[1] == [(t0_ms + LATER_MS, t1_ms + LATER_MS) for t0_ms, t1_ms in said[0]]
