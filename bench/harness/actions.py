"""Fault scenarios in a running stack, and what is measured meanwhile. Tests and bench/gateway share them.

A scenario returns seconds and counts; callers assert correctness with `Heard.check`.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import grpc.aio
import psutil
from talkup.v1 import task_pb2, worker_service_pb2, worker_service_pb2_grpc

from bench.harness.speaker import Heard, Pace, Speaker
from bench.harness.stack import HOST, Program, Stack

T = TypeVar("T")
POLL_S = 0.05
PATIENCE_S = 45.0


def percentile(values: Iterable[float], share: float) -> float:
    """The nearest-rank percentile; NaN if there are no values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


async def eventually(what: str, condition: Callable[[], object]) -> None:
    """Poll until `condition` holds. Raises AssertionError naming `what` after a while."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise AssertionError(f"never came: {what}") from None


async def settled(what: str, look: Callable[[], Awaitable[T]], is_right: Callable[[T], bool]) -> T:
    """Look again and again until what is seen is right. Raises AssertionError with the last sight after a while."""
    until = time.monotonic() + PATIENCE_S
    while not is_right(seen := await look()):
        if time.monotonic() >= until:
            raise AssertionError(f"{what}: still {seen}")
        await asyncio.sleep(POLL_S)
    return seen


async def describe(port: int) -> worker_service_pb2.DescribeResponse:
    """The worker's answer to `Describe`. Raises grpc.aio.AioRpcError if nothing listens there."""
    async with grpc.aio.insecure_channel(f"{HOST}:{port}") as channel:
        stub = worker_service_pb2_grpc.WorkerServiceStub(channel)
        request = worker_service_pb2.DescribeRequest()
        answer: worker_service_pb2.DescribeResponse = await stub.Describe(request, timeout=2.0)
        return answer


async def loads(stack: Stack) -> list[int]:
    """Streams on each speech worker; 0 for one that does not answer."""

    async def one(port: int) -> int:
        try:
            slots: task_pb2.Slots = (await describe(port)).slots
        except grpc.aio.AioRpcError:
            return 0
        return slots.total - slots.free

    return list(await asyncio.gather(*(one(port) for port in stack.worker_ports)))


async def settled_loads(stack: Stack, streams: int) -> list[int]:
    """Streams on each speech worker, once they add up to `streams`: a worker that was stopped counts old ones."""
    async with asyncio.timeout(PATIENCE_S):
        while sum(served := await loads(stack)) != streams:
            await asyncio.sleep(POLL_S)
    return served


async def metric(stack: Stack, name: str) -> float:
    """The sum of a metric over its labels."""

    def read() -> str:
        with urllib.request.urlopen(f"{stack.http_url}/metrics", timeout=10) as response:
            return str(response.read().decode())

    text = await asyncio.to_thread(read)
    pattern = re.compile(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", re.MULTILINE)
    return sum(float(value) for value in pattern.findall(text))


async def until_serving(stack: Stack, speaker: Speaker, count: int) -> None:
    """Wait until the gateway counts this many serving speech workers."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            services = (await speaker.client.status()).data["services"]
            if services[0]["workers_serving"] == count:
                return
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def speaking(speakers: Sequence[Speaker], chunks: int | None = None) -> AsyncIterator[list[asyncio.Task[Heard]]]:
    """Run speakers inside the block; at its end they stop speaking, and their last words are awaited."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(speaker.speak(chunks)) for speaker in speakers]
        await asyncio.gather(*(_spoken(speaker, task) for speaker, task in zip(speakers, tasks, strict=True)))
        yield tasks
        for speaker in speakers:
            speaker.enough.set()


async def _spoken(speaker: Speaker, task: asyncio.Task[Heard]) -> None:
    """Wait until the speaker has started, or failed to."""
    begun = asyncio.create_task(speaker.speaking.wait())
    await asyncio.wait({begun, task}, return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()


@dataclass
class Losses:
    """Rounds in which a worker was lost, and seconds until its streams had final text again."""

    rounds: int = 0
    recoveries: list[float] = field(default_factory=list)


async def lose_workers(stack: Stack, speakers: Sequence[Speaker], *, how: str, rounds: int, seed: int) -> Losses:
    """Repeatedly kill (`how` "kill") or stop ("stop") the worker with the most streams, at random moments.

    It waits until every stream has text: the gateway silently replaces a worker lost before it accepts one.
    """
    rng = random.Random(seed)
    losses = Losses()
    for speaker in speakers:
        await speaker.until_final_after(0)
    for _ in range(rounds):
        await asyncio.sleep(rng.uniform(0.1, 0.8))
        served = await settled_loads(stack, len(speakers))
        victim = served.index(max(served))
        before = [len(speaker.heard.failovers) for speaker in speakers]
        struck = time.monotonic()
        program = stack.workers[victim]
        if how == "kill":
            program.kill()
        else:
            program.freeze()
        moved = await _moved(speakers, before, served[victim])
        losses.recoveries += [
            await speaker.until_final_after(speaker.heard.failovers[-1]) - struck for speaker in moved
        ]
        await until_serving(stack, speakers[0], len(stack.worker_ports) - 1)
        if how == "kill":
            stack.restart_worker(victim)
        else:
            program.thaw()
        await until_serving(stack, speakers[0], len(stack.worker_ports))
        losses.rounds += 1
    return losses


async def _moved(speakers: Sequence[Speaker], before: list[int], count: int) -> list[Speaker]:
    """Wait until `count` streams have moved to another worker; return their speakers."""

    def found() -> list[Speaker]:
        return [s for s, had in zip(speakers, before, strict=True) if len(s.heard.failovers) > had]

    try:
        await eventually(f"{count} streams moved", lambda: len(found()) >= count)
    except AssertionError as error:
        codes = [[each.code for each in (*s.heard.notices, *s.heard.errors)] for s in speakers]
        raise AssertionError(f"{error}; {len(found())} did; reported {codes}") from None
    return found()


@dataclass(frozen=True, slots=True)
class Footprint:
    """Resources of a process: descriptors, threads, resident memory (bytes)."""

    descriptors: int
    threads: int
    rss: int


def footprint(program: Program) -> Footprint:
    """Measure a process."""
    process = psutil.Process(program.pid)
    return Footprint(process.num_fds(), process.num_threads(), process.memory_info().rss)


async def probe_latency(url: str, seed: int, chunks: int) -> Heard:
    """Run one normal stream in real time during a scenario, for its latencies."""
    return await Speaker(url, seed, pace=Pace(1600, 0.05)).speak(chunks)
