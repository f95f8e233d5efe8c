"""How hostile messages affect honest streams in real time."""

from __future__ import annotations

import argparse
from typing import Final

from bench.gateway.figures import Figures, Memory, words
from bench.gateway.phases import Plan, alternate, disturber, in_real_time, texts
from bench.gateway.pressure import MEASURED
from bench.harness.actions import metric, speaking
from bench.harness.cores import cores_apart
from bench.harness.stack import running_stack

_CLIENTS: Final = 4
_WORDS_PER_FINAL: Final = 100
"""Three seconds of sound, as of a real model: the hostile messages hold sound too, and its results are work as well."""
_BOUNDS: Final = {"text": 1.3}


def _long_plan_of(arguments: argparse.Namespace) -> Plan:
    """Twice as many phases, and a fifth longer: the gateway reads some hundred hostile messages a second."""
    return Plan(2 * arguments.pressure_blocks, 1.2 * arguments.pressure_seconds)


async def hostile(arguments: argparse.Namespace) -> Figures:
    """Hostile messages in every disturbed phase, as fast as the gateway reads them, beside honest streams."""
    return await _disturbed_by("hostile", arguments, arguments.hostile_messages)


async def nonsense(arguments: argparse.Namespace) -> Figures:
    """The same without messages that open streams, which are work for workers too: what refusals cost others.

    Half as many messages are enough. Fewer of them are accepted, so the gateway reads fewer.
    """
    return await _disturbed_by("nonsense", arguments, arguments.hostile_messages // 2)


async def _disturbed_by(kind: str, arguments: argparse.Namespace, enough: int) -> Figures:
    settings = {"WORKER_SLOTS": "256", "WORKER_WORDS_PER_FINAL": str(_WORDS_PER_FINAL)}
    with cores_apart() as cores, running_stack(worker_settings=settings) as stack:
        measured = in_real_time(stack, MEASURED)
        async with speaking(measured) as tasks, disturber(kind, stack, cores, _CLIENTS) as other:
            async with Memory(stack.gateway) as memory:
                phases = await alternate({"text": texts(measured)}, other, stack, cores, _long_plan_of(arguments))
            results = await other.figures()
            sessions = await metric(stack, "gateway_sessions")
            opened = await metric(stack, "gateway_admission_seconds_count") - MEASURED
            read = await metric(stack, "gateway_frames_total") - sum(each.heard.chunks for each in measured)
        for program in (stack.gateway, *stack.workers):
            program.check_alive()
        return {
            **results,
            # Fewer than were sent: what follows a message that closes its socket is not read.
            "hostile_messages_read": read,
            "enough_messages": read >= enough,
            "streams_opened": opened,
            "deaths": 0,
            "gateway_growth_mib": memory.growth_mib,
            "sessions": sessions,
            **words(task.result() for task in tasks),
            **phases.figures(_BOUNDS),
        }
