"""How slow workers, clients that read nothing, and clients that find no free slot affect other clients.

Quiet and disturbed phases alternate in one run, so that both see the same machine. The disturbing clients run in a
separate process (disturber.py). `floor` is the same ratio between alternate quiet phases: how much the machine itself
varies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.gateway.figures import MIB, Figures, Memory, rounded, words
from bench.harness.actions import metric, percentile, speaking
from bench.harness.speaker import REAL_TIME, Speaker
from bench.harness.stack import HOST, ROOT, Stack, child_environment, free_port, running_stack, start

_TURNS = 3
# Seconds after a disturbance in which nothing is counted.
_PAUSE_S = 1.0


class Disturber:
    """Controls the disturbing process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def command(self, word: str) -> str:
        """Send a command and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{word}\n".encode())
        answer = await self._process.stdout.readline()
        assert answer, "the disturbing process ended early"
        return answer.decode()


@asynccontextmanager
async def disturber(kind: str, stack: Stack, clients: int, *more: str) -> AsyncIterator[Disturber]:
    """Start a disturbing process, and kill it at the end of the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bench.gateway.disturber", kind, "--clients", str(clients)),
        *("--ws-port", str(stack.ws_port), "--http-port", str(stack.http_port), *more),
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
    """Latencies (seconds) of the measured clients, by phase."""

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


async def alternate(
    measured: Sequence[Speaker],
    other: Disturber,
    seconds: float,
    on_change: Callable[[float], object] = lambda _moment: None,
) -> Phases:
    """Alternate quiet and disturbed phases of `seconds` each. `on_change` gets the ends of the disturbed ones."""
    phases = Phases()
    for _ in range(_TURNS):
        await asyncio.sleep(_PAUSE_S)
        phases.quiet.append(await _listen(measured, seconds - _PAUSE_S))
        await other.command("go")
        on_change(time.monotonic())
        phases.disturbed.append(await _listen(measured, seconds))
        on_change(time.monotonic())
        await other.command("stop")
    return phases


async def _listen(measured: Sequence[Speaker], seconds: float) -> list[float]:
    for speaker in measured:
        speaker.heard.latencies.clear()
    await asyncio.sleep(seconds)
    return [latency for speaker in measured for latency in speaker.heard.latencies]


def _engine(arguments: argparse.Namespace) -> dict[str, str]:
    """One final per chunk of real-time speech, for many latencies in a short time."""
    return {"WORKER_WORDS_PER_FINAL": "3", "WORKER_DELAY_MS": str(arguments.engine_ms)}


def _speakers(stack: Stack, count: int) -> list[Speaker]:
    return [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(count)]


async def slow(arguments: argparse.Namespace) -> Figures:
    """e. Four streams on a worker at 0.3 times real time; four measured clients on another worker."""
    ports = [free_port(), free_port()]
    targets = {"GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in ports)}
    fast = {"WORKER_SLOTS": "4", **_engine(arguments)}
    late = {"WORKER_PORT": str(ports[1]), "WORKER_SLOTS": "4", "WORKER_SLOW_FACTOR": "3.33"}
    with running_stack(worker_ports=ports[:1], worker_settings=fast, gateway_settings=targets) as stack:
        measured = _speakers(stack, 4)
        async with speaking(measured) as tasks, disturber("slow", stack, 4) as other:
            worker = start("slow", ("-m", "workers", "fake"), late, stack.folder)
            try:
                await _until_workers(measured[0], 2)
                async with Memory(stack.gateway) as memory:
                    phases = await alternate(measured, other, arguments.pressure_seconds)
                results = json.loads(await other.command("end"))
            finally:
                worker.stop()
        return {
            **results,
            "gateway_growth_mib": memory.growth_mib,
            **words(task.result() for task in tasks),
            **phases.figures(),
        }


async def deaf(arguments: argparse.Namespace) -> Figures:
    """e. Four clients that read nothing until the bound closes them, and reconnect; four measured clients."""
    bound = 1 * MIB
    bounds = {"GATEWAY_OUTBOX_BYTES": str(bound)}
    with running_stack(worker_settings=_engine(arguments), gateway_settings=bounds) as stack:
        measured = _speakers(stack, 4)
        async with speaking(measured) as tasks, disturber("deaf", stack, 4) as other:
            async with Memory(stack.gateway) as memory:
                phases = await alternate(measured, other, arguments.pressure_seconds)
            closed = await metric(stack, "gateway_outbox_overflows_total")
            results = json.loads(await other.command("end"))
        return {
            **results,
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
        measured = _speakers(stack, 16)
        async with speaking(measured) as tasks, disturber("knock", stack, 64) as other:
            phases = await alternate(measured, other, arguments.pressure_seconds)
            results: dict[str, Any] = json.loads(await other.command("end"))
        seconds = results.pop("refusal_seconds")
        return {
            **results,
            "refusal_p50_ms": round(1000 * percentile(seconds, 0.5), 1),
            "refusal_p95_ms": round(1000 * percentile(seconds, 0.95), 1),
            "refusal_max_ms": round(1000 * max(seconds), 1),
            **words(task.result() for task in tasks),
            **phases.figures(),
        }


async def _until_workers(speaker: Speaker, count: int) -> None:
    while (await speaker.client.status()).data["services"][0]["workers_serving"] != count:
        await asyncio.sleep(0.1)
