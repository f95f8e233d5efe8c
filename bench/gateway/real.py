"""Word errors of one long recording with the real model, undisturbed and while the serving worker is lost."""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from talkup_client import Client
from talkup_client.events import Flow, StreamEnded, TranscriptUpdate

from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip, load
from bench.gateway.figures import Figures, rounded
from bench.harness.actions import eventually, loads, percentile
from bench.harness.stack import KEY, Stack, running_stack
from bench.scoring import Errors, total, word_errors

_MODEL = "tiny.en"
_CHUNK_S = 0.1
_SLOTS = "8"


@dataclass
class Reader:
    """Sends the recording repeatedly and keeps the results."""

    stack: Stack
    clip: Clip
    speed: float
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    passes: list[Errors] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    failovers: list[float] = field(default_factory=list)
    ids_in_order: bool = True

    async def read(self) -> None:
        """Make whole passes until `enough` is set, at least one."""
        while not self.passes or not self.enough.is_set():
            text = await self._one_pass()
            self.passes.append(word_errors(self.clip.text, text, self.clip.language))

    async def _one_pass(self) -> str:
        audio = (np.clip(self.clip.audio, -1, 1) * 32767).astype("<i2").tobytes()
        size = int(_CHUNK_S * SAMPLE_RATE) * 2
        async with (
            Client(self.stack.ws_url, key=KEY) as client,
            client.stream(format=f"audio/pcm;rate={SAMPLE_RATE}", language=self.clip.language) as stream,
        ):
            listener = asyncio.create_task(self._listen(stream))
            began = time.monotonic()
            for number, at in enumerate(range(0, len(audio), size)):
                await stream.send(audio[at : at + size])
                due = began + number * _CHUNK_S / self.speed
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            await stream.end()
            return await listener

    async def _listen(self, stream: Any) -> str:
        text, last_id = "", 0
        async for event in stream:
            match event:
                case TranscriptUpdate(is_final=True):
                    self.finals.append(time.monotonic())
                    self.ids_in_order &= event.segment_id == last_id + 1
                    last_id = event.segment_id
                case Flow(data=data) if data.get("failover"):
                    self.failovers.append(time.monotonic())
                case StreamEnded():
                    text = event.text
        return text


async def real(arguments: argparse.Namespace) -> Figures:
    """a. The serving worker is lost repeatedly, with the real model; the same recording undisturbed for comparison."""
    [clip, *_] = load(arguments.corpus or OWN_CLIPS, "long-speech", "en") or load(OWN_CLIPS, "speech", "en")
    with ExitStack() as exits:
        # All streams are open before the first word.
        stacks = [exits.enter_context(_stack(workers)) for workers in (1, 2, 2)]
        readers = [Reader(stack, clip, arguments.real_speed) for stack in stacks]
        readers[0].enough.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(readers[0].read())
            killed = group.create_task(_disturb("kill", readers[1], arguments.real_losses))
            stopped = group.create_task(_disturb("stop", readers[2], arguments.real_losses))
    calm = _figures(readers[0])
    figures: Figures = {"recording": clip.name, "seconds_of_audio": rounded(clip.seconds), "undisturbed": calm}
    for task, how in ((killed, "kill"), (stopped, "stop")):
        lost = task.result()
        more = lost["word_error_percent"] - calm["word_error_percent"]
        figures[how] = {**lost, "word_error_points_more": round(more, 2)}
    return figures


def _stack(workers: int) -> AbstractContextManager[Stack]:
    settings = {"WORKER_MODEL": _MODEL, "WORKER_SLOTS": _SLOTS}
    return running_stack(workers=workers, worker_arguments=("stt",), worker_settings=settings)


async def _disturb(how: str, reader: Reader, losses: int) -> Figures:
    """Stream while the serving worker is lost repeatedly; whole passes."""
    rng = random.Random(how)
    recoveries: list[float] = []
    async with asyncio.TaskGroup() as group:
        group.create_task(reader.read())
        for _ in range(losses):
            await asyncio.sleep(rng.uniform(2.0, 12.0))
            recoveries.append(await _lose(how, reader.stack, reader))
        reader.enough.set()
    return {
        "losses": len(recoveries),
        "recovery_p50_s": rounded(percentile(recoveries, 0.5)),
        "recovery_max_s": rounded(max(recoveries)),
        **_figures(reader),
    }


async def _lose(how: str, stack: Stack, reader: Reader) -> float:
    """Kill or stop the worker that serves the stream and bring it back; seconds until the stream moved."""
    served = await loads(stack)
    while max(served) == 0:  # between two passes
        await asyncio.sleep(0.1)
        served = await loads(stack)
    victim, had = served.index(max(served)), len(reader.failovers)
    program, struck = stack.workers[victim], time.monotonic()
    (program.kill if how == "kill" else program.freeze)()
    await eventually("the stream moved", lambda: len(reader.failovers) > had)
    moved = reader.failovers[-1]
    if how == "kill":
        stack.restart_worker(victim)
    else:
        program.thaw()
    await _eventually_serving(stack)
    return moved - struck


async def _eventually_serving(stack: Stack) -> None:
    """Wait until every worker counts as serving."""
    async with Client(stack.ws_url, key=KEY) as client:
        while (await client.status()).data["services"][0]["workers_serving"] < len(stack.worker_ports):
            await asyncio.sleep(0.2)


def _figures(reader: Reader) -> Figures:
    errors = total(reader.passes)
    return {
        "passes": len(reader.passes),
        "word_error_percent": round(errors.percent, 2),
        "reference_words": errors.words,
        "segment_ids_in_order": reader.ids_in_order,
        "failovers": len(reader.failovers),
    }
