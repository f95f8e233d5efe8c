"""Slow workers, clients that read nothing, clients that find no room: what others beside them feel.

Quiet and disturbed phases take turns in one run, so that both see the same machine; the disturbing clients are a
process of their own (disturber.py). `floor` is the same ratio between every other quiet phase: what the machine
moves by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.gateway.figures import MIB, Figures, Memory, rounded, words
from bench.harness.actions import metric, percentile, speaking
from bench.harness.speaker import REAL_TIME, Speaker
from bench.harness.stack import HOST, ROOT, Stack, child_environment, free_port, running_stack, start

_TURNS = 3
# After the end of a disturbance nothing is counted for so long, seconds.
_SETTLE_S = 1.0


class Disturber:
    """The other process, as the drill sees it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, word: str) -> str:
        """Say a word and wait for the answer to it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n".encode())
        answer = await self._process.stdout.readline()
        assert answer, "the disturbing process ended early"
        return answer.decode()


@asynccontextmanager
async def disturber(kind: str, stack: Stack, clients: int) -> AsyncIterator[Disturber]:
    """A process that disturbs when told to."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.gateway.disturber", kind, "--clients", str(clients)),
        *("--ws-port", str(stack.ws_port), "--http-port", str(stack.http_port)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env=child_environment({}),
        limit=16 * MIB,
    )
    try:
        yield Disturber(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass
class Phases:
    """Latencies (seconds) of the clients beside, phase by phase."""

    quiet: list[list[float]] = field(default_factory=list)
    disturbed: list[list[float]] = field(default_factory=list)

    def figures(self) -> Figures:
        """p50, p95 in ms, quiet and disturbed, and the ratios of the p95."""
        quiet = [one for phase in self.quiet for one in phase]
        late = [one for phase in self.disturbed for one in phase]
        odd = [one for phase in self.quiet[1::2] for one in phase]
        even = [one for phase in self.quiet[::2] for one in phase]
        return {
            "finals": [len(quiet), len(late)],
            "final_p50_ms": [round(1000 * percentile(each, 0.5), 2) for each in (quiet, late)],
            "final_p95_ms": [round(1000 * percentile(each, 0.95), 2) for each in (quiet, late)],
            "final_p95_ratio": rounded(percentile(late, 0.95) / percentile(quiet, 0.95)),
            "final_p95_ratio_floor": rounded(percentile(odd, 0.95) / percentile(even, 0.95)),
        }


async def take_turns(beside: Sequence[Speaker], other: Disturber, seconds: float) -> Phases:
    """Quiet and disturbed phases of `seconds` each, in turn."""
    phases = Phases()
    for _ in range(_TURNS):
        await asyncio.sleep(_SETTLE_S)
        phases.quiet.append(await _listen(beside, seconds - _SETTLE_S))
        await other.tell("go")
        phases.disturbed.append(await _listen(beside, seconds))
        await other.tell("stop")
    return phases


async def _listen(beside: Sequence[Speaker], seconds: float) -> list[float]:
    for speaker in beside:
        speaker.heard.latencies.clear()
    await asyncio.sleep(seconds)
    return [latency for speaker in beside for latency in speaker.heard.latencies]


def _engine(arguments: argparse.Namespace) -> dict[str, str]:
    """A final for each chunk of real-time speech: many latencies in a short time."""
    return {"WORKER_WORDS_PER_FINAL": "3", "WORKER_DELAY_MS": str(arguments.engine_ms)}


def _beside(stack: Stack, count: int) -> list[Speaker]:
    return [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(count)]


async def slow(arguments: argparse.Namespace) -> Figures:
    """e. Four streams on a worker at 0.3 times real time; four clients beside them, on a worker of their own."""
    ports = [free_port(), free_port()]
    targets = {"GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in ports)}
    fast = {"WORKER_SLOTS": "4", **_engine(arguments)}
    late = {"WORKER_PORT": str(ports[1]), "WORKER_SLOTS": "4", "WORKER_SLOW_FACTOR": "3.33"}
    with running_stack(worker_ports=ports[:1], worker_settings=fast, gateway_settings=targets) as stack:
        beside = _beside(stack, 4)
        async with speaking(beside) as tasks, disturber("slow", stack, 4) as other:
            worker = start("slow", ("-m", "workers", "fake"), late, stack.folder)
            try:
                await _until_workers(beside[0], 2)
                async with Memory(stack.gateway) as memory:
                    phases = await take_turns(beside, other, arguments.pressure_seconds)
                told = json.loads(await other.tell("end"))
            finally:
                worker.stop()
        return {
            **told,
            "gateway_growth_mib": memory.growth_mib,
            **words(task.result() for task in tasks),
            **phases.figures(),
        }


async def deaf(arguments: argparse.Namespace) -> Figures:
    """e. Four clients that read nothing until they are closed at the bound, and come again; four beside them."""
    bound = 1 * MIB
    bounds = {"GATEWAY_OUTBOX_BYTES": str(bound)}
    with running_stack(worker_settings=_engine(arguments), gateway_settings=bounds) as stack:
        beside = _beside(stack, 4)
        async with speaking(beside) as tasks, disturber("deaf", stack, 4) as other:
            async with Memory(stack.gateway) as memory:
                phases = await take_turns(beside, other, arguments.pressure_seconds)
            closed = await metric(stack, "gateway_outbox_overflows_total")
            told = json.loads(await other.tell("end"))
        return {
            **told,
            "closed_at_the_bound": closed,
            "bound_mib": bound / MIB,
            "gateway_growth_mib": memory.growth_mib,
            **words(task.result() for task in tasks),
            **phases.figures(),
        }


async def admission(arguments: argparse.Namespace) -> Figures:
    """f. 16 streams on 16 slots; 64 more clients connect and retry as often as the answers allow."""
    settings = {"WORKER_SLOTS": "8", **_engine(arguments)}
    with running_stack(workers=2, worker_settings=settings) as stack:
        beside = _beside(stack, 16)
        async with speaking(beside) as tasks, disturber("knock", stack, 64) as other:
            phases = await take_turns(beside, other, arguments.pressure_seconds)
            told: dict[str, Any] = json.loads(await other.tell("end"))
        seconds = told.pop("refusal_seconds")
        return {
            **told,
            "refusal_p50_ms": round(1000 * percentile(seconds, 0.5), 1),
            "refusal_p95_ms": round(1000 * percentile(seconds, 0.95), 1),
            "refusal_max_ms": round(1000 * max(seconds), 1),
            **words(task.result() for task in tasks),
            **phases.figures(),
        }


async def _until_workers(speaker: Speaker, count: int) -> None:
    while (await speaker.client.status()).data["services"][0]["workers_serving"] != count:
        await asyncio.sleep(0.1)
