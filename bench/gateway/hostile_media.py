"""Mutated media at a running gateway with a real speech worker, beside honest streams in real time."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

from bench.gateway.figures import Figures, Memory, rounded
from bench.gateway.honest import Honest, recording
from bench.gateway.phases import Phases, Plan, alternate, disturber
from bench.harness.cores import Cores, all_cores
from bench.harness.hostile_inputs import NO_ANSWER, Attackers
from bench.harness.stack import Stack, running_stack
from bench.scoring import word_errors

_CLIENTS: Final = 6
_HONEST: Final = 2
_PHASE_S: Final = 20.0
_BOUNDS: Final = {"final": 1.3}
_ENDING: Final = re.compile(r"decoder child replaced.*?\bending=(\w+)")


async def attack(stack: Stack, inputs: int, attackers: int, *, seconds: float) -> Figures:
    """Read the first seconds of a recording in peace, then beside `inputs` mutated inputs."""
    calm, beside = Honest(stack, recording(seconds)), Honest(stack, recording(seconds))
    await calm.read()
    hostile = Attackers(stack.ws_url, attackers)
    async with Memory(stack.gateway) as gateway, Memory(stack.workers[0]) as worker, asyncio.TaskGroup() as group:
        attacking = group.create_task(hostile.run(inputs))
        while not beside.texts or not attacking.done():
            await beside.read()
    return {
        **_outcomes(hostile.outcomes),
        **_survivors(stack, gateway, worker),
        **_words(calm.texts[0], beside.texts),
    }


async def hostile_media(arguments: argparse.Namespace) -> Figures:
    """m. Mutated media and storms of headers at the gateway, with the real model, beside honest streams."""
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "16"}
    with running_stack(worker_arguments=("stt",), worker_settings=settings) as stack:
        honest = [Honest(stack, recording()) for _ in range(_HONEST)]
        await honest[0].read()
        began = time.monotonic()
        async with AsyncExitStack() as exits:
            gateway = await exits.enter_async_context(Memory(stack.gateway))
            worker = await exits.enter_async_context(Memory(stack.workers[0]))
            reading = asyncio.gather(*(each.read_on() for each in honest))
            try:
                phases, told = await _phases(stack, all_cores(), honest, arguments)
            finally:
                reading.cancel()
                with suppress(asyncio.CancelledError):
                    await reading
        outcomes = Counter[str](told["outcomes"])
        took_s = sum(phase.seconds for phase in phases.phases if phase.is_disturbed)
        return {
            **_outcomes(outcomes),
            "inputs_asked_for": arguments.hostile_inputs,
            "enough_inputs": outcomes.total() >= arguments.hostile_inputs,
            "inputs_per_s_of_attack": rounded(outcomes.total() / took_s),
            "inputs_cut_off": told["cut_off"],
            "busy_and_sent_again": told["busy"],
            "minutes": rounded((time.monotonic() - began) / 60),
            **_survivors(stack, gateway, worker),
            **_words(honest[0].texts[0], [text for each in honest for text in each.texts]),
            **phases.figures(_BOUNDS),
        }


async def _phases(
    stack: Stack, cores: Cores, honest: list[Honest], arguments: argparse.Namespace
) -> tuple[Phases, dict[str, Any]]:
    """Blocks of phases until all inputs are sent, or the time is up; and what the attackers tell of them."""
    plan = Plan(1, _PHASE_S)
    until = time.monotonic() + arguments.hostile_seconds
    watched = {"final": [each.latencies for each in honest]}
    phases = Phases(cores)
    async with disturber("media", stack, cores, _CLIENTS) as other:
        while True:
            phases.phases += (await alternate(watched, other, stack, cores, plan)).phases
            told = await other.figures()
            is_enough = sum(told["outcomes"].values()) >= arguments.hostile_inputs
            if len(phases.phases) >= 8 and (is_enough or time.monotonic() > until):
                return phases, told


def _outcomes(outcomes: Mapping[str, int]) -> Figures:
    found = Counter(outcomes)
    return {
        "inputs": found.total(),
        "inputs_without_an_answer": found[NO_ANSWER],
        "outcomes": dict(found.most_common()),
    }


def _survivors(stack: Stack, gateway: Memory, worker: Memory) -> Figures:
    """Raises StackError if a main process has ended."""
    for program in (stack.gateway, *stack.workers):
        program.check_alive()
    endings = Counter(_ENDING.findall(stack.workers[0].log_text()))
    return {
        "deaths_of_main_processes": 0,
        "decoder_children_replaced": endings.total(),
        "decoder_children_ended": dict(endings),
        "gateway_growth_mib": gateway.growth_mib,
        "worker_growth_mib": worker.growth_mib,
    }


def _words(calm: str, texts: list[str]) -> Figures:
    errors = [word_errors(calm, text, "en").errors for text in texts]
    return {
        "honest_passes": len(texts),
        "honest_passes_that_differ": sum(error > 0 for error in errors),
        "honest_words": len(calm.split()),
        "honest_words_that_differ": max(errors),
    }
