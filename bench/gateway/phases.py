"""Quiet and disturbed phases in turn, and the figures that come of them.

Gateway, workers and honest clients share one core, the disturbing process has another, in quiet phases too; with the
real model, all have all cores, and the disturbing process the lowest priority (`bench.harness.cores`). Phases are short
and come in blocks: quiet, disturbed, disturbed, quiet (`pairs`).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import chain
from statistics import median
from typing import Any

from bench.gateway import pairs
from bench.gateway.figures import MIB, Figures
from bench.gateway.overhead.process import cpu_seconds
from bench.harness.actions import metric, percentile
from bench.harness.cores import Cores
from bench.harness.speaker import Pace, Speaker
from bench.harness.stack import ROOT, Stack, child_environment

# Seconds before each phase in which nothing is counted.
_PAUSE_S = 1.0
_BLOCK = (False, True, True, False)

Watched = Mapping[str, Sequence[list[float]]]
"""By name, lists that grow while the scenario runs: seconds that honest clients measured."""


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

    async def figures(self) -> dict[str, Any]:
        """Its figures so far."""
        figures: dict[str, Any] = json.loads(await self.command("tell"))
        return figures


@asynccontextmanager
async def disturber(kind: str, stack: Stack, cores: Cores, clients: int, *more: str) -> AsyncIterator[Disturber]:
    """Start a disturbing process, on cores of its own, and kill it at the end of the block."""
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
    cores.put_aside(process.pid)
    try:
        yield Disturber(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@dataclass(frozen=True, slots=True)
class Plan:
    """How many blocks of four phases, and the seconds of a phase."""

    blocks: int
    phase_s: float


@dataclass(frozen=True, slots=True)
class Phase:
    """What happened in one phase. `messages`: WebSocket messages that the gateway read in it, of all its clients."""

    is_disturbed: bool
    samples: Mapping[str, list[float]]
    seconds: float
    gateway_cpu_s: float
    messages: float


@dataclass
class Phases:
    """All phases of a scenario, in order."""

    cores: Cores
    phases: list[Phase] = field(default_factory=list)

    def figures(self, bounds: Mapping[str, float]) -> Figures:
        """p50 and p95 in ms, quiet and disturbed, the comparison of the p95, and what the attack cost the gateway.

        `bounds`: the name of what was watched, and what its p95 may become, times the quiet one.
        """
        figures: Figures = {}
        for name, bound in bounds.items():
            figures |= self._compared(name, bound)
        quiet, late = ([phase for phase in self.phases if phase.is_disturbed is each] for each in (False, True))
        return {
            **figures,
            "phases": len(self.phases),
            "phase_s": round(median(phase.seconds for phase in self.phases), 1),
            "messages_per_second": [round(_rate(each, "messages"), 1) for each in (quiet, late)],
            "gateway_cpu_share": [round(_rate(each, "gateway_cpu_s"), 3) for each in (quiet, late)],
        }

    def _compared(self, name: str, bound: float) -> Figures:
        quiet, late = (
            [phase.samples[name] for phase in self.phases if phase.is_disturbed is each] for each in (False, True)
        )
        found = pairs.compare(quiet, late)
        both = [list(chain(*each)) for each in (quiet, late)]
        return {
            f"{name}_samples_of_a_phase": found.samples,
            f"{name}_p50_ms": [round(1000 * percentile(each, 0.5), 2) for each in both],
            f"{name}_p95_ms": [round(1000 * percentile(each, 0.95), 2) for each in both],
            f"{name}_p95_ratio": round(found.effect.ratio, 3),
            f"{name}_p95_ratio_interval": [round(found.effect.low, 3), round(found.effect.high, 3)],
            f"{name}_p95_floor": round(found.floor.reach, 3),
            f"{name}_p95_bound": bound,
            f"{name}_p95_verdict": found.verdict(bound, are_apart=self.cores.are_apart),
        }


def _rate(phases: Sequence[Phase], what: str) -> float:
    return median(float(getattr(phase, what)) / phase.seconds for phase in phases)


async def alternate(watched: Watched, other: Disturber, stack: Stack, cores: Cores, plan: Plan) -> Phases:
    """Run the blocks of a plan: quiet, disturbed, disturbed, quiet. A disturbance counts from its first moment."""
    found = Phases(cores)
    for is_disturbed in _BLOCK * plan.blocks:
        await asyncio.sleep(_PAUSE_S)
        read = await metric(stack, "gateway_frames_total")
        began, cpu = asyncio.get_running_loop().time(), cpu_seconds(stack.gateway.pid)
        heard = {name: [len(each) for each in lists] for name, lists in watched.items()}
        if is_disturbed:
            await other.command("go")
        await asyncio.sleep(plan.phase_s)
        samples = {
            name: [one for each, start in zip(lists, heard[name], strict=True) for one in each[start:]]
            for name, lists in watched.items()
        }
        cpu, seconds = cpu_seconds(stack.gateway.pid) - cpu, asyncio.get_running_loop().time() - began
        if is_disturbed:
            await other.command("stop")
        read = await metric(stack, "gateway_frames_total") - read
        found.phases.append(Phase(is_disturbed, samples, seconds, cpu, read))
    return found


def in_real_time(stack: Stack, count: int, key: str | None = None) -> list[Speaker]:
    """Speakers in real time who speak one after the other, in every phase alike."""
    return [
        Speaker(stack.ws_url, number, pace=Pace(3200, 0.1, number / count), key=key or stack.key)
        for number in range(count)
    ]


def finals(speakers: Sequence[Speaker]) -> list[list[float]]:
    """The seconds from the chunk with a final's last word to that final, of each speaker."""
    return [speaker.heard.latencies for speaker in speakers]


def texts(speakers: Sequence[Speaker]) -> list[list[float]]:
    """The seconds from a chunk to the first text with a word that it completes, of each speaker."""
    return [speaker.heard.text_latencies for speaker in speakers]
