"""How slow workers, clients that read nothing, and clients that find no free slot affect other clients.

Quiet and disturbed phases alternate in one run (`phases`); the disturbing clients are a process of their own
(disturber.py).
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

from bench.gateway.figures import MIB, Figures, Memory, words
from bench.gateway.phases import Plan, alternate, disturber, finals, in_real_time
from bench.harness.actions import metric, percentile, speaking
from bench.harness.cores import cores_apart
from bench.harness.speaker import Speaker
from bench.harness.stack import HOST, free_port, running_stack, start

MEASURED: Final = 8
"""Honest streams in real time: 80 finals a second."""
_BOUNDS: Final = {"final": 1.1}


def plan_of(arguments: argparse.Namespace) -> Plan:
    """The phases that the command line asks for."""
    return Plan(arguments.pressure_blocks, arguments.pressure_seconds)


def _long_plan_of(arguments: argparse.Namespace) -> Plan:
    """Half as many phases, three times as long: what waits for a slow worker or a deaf client grows for seconds."""
    return Plan(max(2, arguments.pressure_blocks // 2), 3 * arguments.pressure_seconds)


def _engine(arguments: argparse.Namespace) -> dict[str, str]:
    """One final per chunk of real-time speech, for many latencies in a short time."""
    return {"WORKER_WORDS_PER_FINAL": "3", "WORKER_DELAY_MS": str(arguments.engine_ms)}


async def slow(arguments: argparse.Namespace) -> Figures:
    """e. Four streams on a worker at 0.3 times real time; the measured clients are on another worker."""
    ports = [free_port(), free_port()]
    targets = {"GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in ports)}
    fast = {"WORKER_SLOTS": str(MEASURED), **_engine(arguments)}
    late = {"WORKER_PORT": str(ports[1]), "WORKER_SLOTS": "4", "WORKER_SLOW_FACTOR": "3.33"}
    with (
        cores_apart() as cores,
        running_stack(worker_ports=ports[:1], worker_settings=fast, gateway_settings=targets) as stack,
    ):
        measured = in_real_time(stack, MEASURED)
        async with speaking(measured) as tasks, disturber("slow", stack, cores, 4) as other:
            worker = start("slow", ("-m", "workers", "fake"), late, stack.folder)
            try:
                await _until_workers(measured[0], 2)
                async with Memory(stack.gateway) as memory:
                    phases = await alternate({"final": finals(measured)}, other, stack, cores, _long_plan_of(arguments))
                results = await other.figures()
            finally:
                worker.stop()
        return {
            **results,
            "enough_behind": results["told_behind_ms_max"] > 0,
            "gateway_growth_mib": memory.growth_mib,
            **words(task.result() for task in tasks),
            **phases.figures(_BOUNDS),
        }


async def deaf(arguments: argparse.Namespace) -> Figures:
    """e. Four clients that read nothing until the bound closes them, and reconnect."""
    bound = 1 * MIB
    bounds = {"GATEWAY_OUTBOX_BYTES": str(bound)}
    with (
        cores_apart() as cores,
        running_stack(worker_settings=_engine(arguments), gateway_settings=bounds) as stack,
    ):
        measured = in_real_time(stack, MEASURED)
        async with speaking(measured) as tasks, disturber("deaf", stack, cores, 4) as other:
            async with Memory(stack.gateway) as memory:
                phases = await alternate({"final": finals(measured)}, other, stack, cores, _long_plan_of(arguments))
            closed = await metric(stack, "gateway_outbox_overflows_total")
            results = await other.figures()
        return {
            **results,
            "closed_at_the_bound": closed,
            "enough_closed": closed > 0,
            "bound_mib": bound / MIB,
            "gateway_growth_mib": memory.growth_mib,
            **words(task.result() for task in tasks),
            **phases.figures(_BOUNDS),
        }


async def admission(arguments: argparse.Namespace) -> Figures:
    """f. 16 streams on 16 slots; 64 more clients connect and retry as often as the answers allow."""
    settings = {"WORKER_SLOTS": "8", **_engine(arguments)}
    with cores_apart() as cores, running_stack(workers=2, worker_settings=settings) as stack:
        measured = in_real_time(stack, 16)
        async with speaking(measured) as tasks, disturber("knock", stack, cores, 64) as other:
            phases = await alternate({"final": finals(measured)}, other, stack, cores, plan_of(arguments))
            results = await other.figures()
        seconds = results.pop("refusal_seconds")
        return {
            **results,
            "refusal_p50_ms": round(1000 * percentile(seconds, 0.5), 1),
            "refusal_p95_ms": round(1000 * percentile(seconds, 0.95), 1),
            "refusal_max_ms": round(1000 * max(seconds), 1),
            **words(task.result() for task in tasks),
            **phases.figures(_BOUNDS),
        }


async def _until_workers(speaker: Speaker, count: int) -> None:
    while (await speaker.client.status()).data["services"][0]["workers_serving"] != count:
        await asyncio.sleep(0.1)
