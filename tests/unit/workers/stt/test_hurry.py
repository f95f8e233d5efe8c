"""A stream that ends while its step still waits for a thread."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest
from talkup.v1 import task_pb2

from tests.unit.workers.stt.toys import ToyEngine, chunks, finals, speak, text_of, transcribe, transcript
from workers.chunk import chunk_of
from workers.scheduler import Rank
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.session import SttSession
from workers.stt.tuning import Tuning

CHUNK = 1_600
SPOKEN = (1, 2, 3, 4, 5)
LONG = (1, 2, 3, 4, 5, 6, 7)
HASTY = (8, 9, 10, 11)
OTHER = DecodeRequest(np.zeros(1, np.float32), 1000, 5, "other stream")


class BusyModel:
    """Keeps its threads with other streams' jobs until the gate opens, and notes the audio of each request."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.heard: list[float] = []

    def run(self, request: DecodeRequest) -> Hypothesis:
        if request.language == OTHER.language:
            self.gate.wait()
            return Hypothesis((), 0.0, 0.0, False, "en")
        self.heard.append(len(request.audio) / 16_000)
        return transcribe(request)


async def speak_until_a_step_waits(
    model: BusyModel, *, seconds_a_chunk: float, flush: bool = False, tuning: Tuning | None = None
) -> str:
    """The transcript of two seconds of words, of which the last come while every thread is busy."""
    now = [0.0]
    results: list[task_pb2.TaskResult] = []
    with ToyEngine(tuning, run=model.run) as engine:
        session = engine.open(clock=lambda: now[0])
        others = [engine.scheduler.submit(replace(OTHER), rank=Rank.CLOSING, due=0) for _ in range(8)]

        async def read() -> None:
            async for result in session.results():
                results.append(result)

        reader = asyncio.ensure_future(read())
        for chunk in chunks(speak(*SPOKEN), CHUNK):
            now[0] += seconds_a_chunk
            await session.accept(chunk_of(chunk))
            for _ in range(20):
                await asyncio.sleep(0)
        assert session.counters.steps == 1
        assert model.heard == []
        await (session.flush(1) if flush else session.end())
        model.gate.set()
        await asyncio.gather(*others)
        if flush:
            while not any(result.HasField("flushed") for result in results):
                await asyncio.sleep(0.001)
            await session.end()
        await reader
        await session.close()
    assert len(finals(results)) >= 1
    return transcript(results)


@pytest.mark.parametrize("flush", [False, True])
async def test_a_step_that_waits_is_given_up_for_the_last_hypothesis(flush: bool) -> None:
    model = BusyModel()
    assert await speak_until_a_step_waits(model, seconds_a_chunk=0.1, flush=flush) == text_of(SPOKEN)
    assert model.heard == [pytest.approx(2.0, abs=0.05)]


async def test_a_step_of_audio_sent_faster_than_it_is_spoken_is_made() -> None:
    model = BusyModel()
    assert await speak_until_a_step_waits(model, seconds_a_chunk=0.001) == text_of(SPOKEN)
    assert len(model.heard) == 2


async def test_where_steps_may_not_grow_every_step_is_made() -> None:
    model = BusyModel()
    steady = Tuning(stretched_step=Tuning().step)
    assert await speak_until_a_step_waits(model, seconds_a_chunk=0.1, tuning=steady) == text_of(SPOKEN)
    assert len(model.heard) == 2


async def test_who_sends_sooner_than_anybody_speaks_waits_for_who_speaks() -> None:
    model = BusyModel()
    now = [0.0]
    with ToyEngine(Tuning(step=2.0), run=model.run, clock=lambda: now[0], threads=1) as engine:
        hasty, speaker = (engine.open(clock=lambda: now[0]) for _ in range(2))
        other = engine.scheduler.submit(replace(OTHER), rank=Rank.CLOSING, due=0)
        readers = [asyncio.ensure_future(read(session)) for session in (hasty, speaker)]
        [whole] = chunks(speak(*HASTY), 10**6)
        spoken = chunks(speak(*LONG), CHUNK)
        for number, chunk in enumerate(spoken[:22]):
            now[0] += 0.1
            await speaker.accept(chunk_of(chunk))
            if number == 11:
                await hasty.accept(chunk_of(whole))
                await hasty.end()
        while speaker.counters.steps < 1:
            await asyncio.sleep(0.001)
        model.gate.set()
        await other
        for chunk in spoken[22:]:
            await speaker.accept(chunk_of(chunk))
        await speaker.end()
        texts = [transcript(results) for results in await asyncio.gather(*readers)]
        await asyncio.gather(hasty.close(), speaker.close())
    assert texts == [text_of(HASTY), text_of(LONG)]
    assert model.heard[:2] == [pytest.approx(2.0, abs=0.05), pytest.approx(1.6, abs=0.1)], "the speaker's step is first"


async def read(session: SttSession) -> list[task_pb2.TaskResult]:
    return [result async for result in session.results()]
