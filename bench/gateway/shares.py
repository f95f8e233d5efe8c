"""How a flood by one API key affects the streams and admissions of another.

The flood is a separate process that opens sockets and streams at 50 times the rate of its key. Quiet and disturbed
phases alternate (`phases`); meanwhile the other key speaks, and keeps opening new streams. `shares` has the fake
engine, whose finals take milliseconds, all on one core: it shows the smallest effect. `real_shares` has the real model:
it shows what a person notices.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

from talkup_client.client import Client
from talkup_client.errors import RefusedError

from bench.gateway.figures import Figures, words
from bench.gateway.honest import Honest, recording
from bench.gateway.phases import Plan, alternate, disturber, finals, in_real_time
from bench.gateway.pressure import plan_of
from bench.harness.actions import metric, speaking
from bench.harness.cores import Cores, all_cores, cores_apart
from bench.harness.grid import moment
from bench.harness.stack import KEY, Stack, running_stack
from bench.scoring import word_errors
from gateway import key_commands

RATE: Final = 4
TIMES: Final = 50
_LEAST_TIMES: Final = 40
_CLIENTS: Final = 80
"""The gateway answers a handshake above the rate a quarter of a second late, so it takes so many for the whole rate."""
_SLOTS: Final = 32
_SPEAKERS: Final = 4
_NEWCOMERS: Final = (0.1, 0.6)
"""When in an interval they begin. The speakers speak at 0, 0.25, 0.5 and 0.75 of it, so in quiet nobody waits."""
_INTERVAL_S: Final = 0.1
_FORMAT: Final = "audio/pcm;rate=16000;channels=1;encoding=s16le"
_BOUNDS: Final = {"final": 1.1, "admission": 1.1}
_REAL_SPEAKERS: Final = 6
_REAL_INTERVAL_S: Final = 0.5
_REAL_PHASE_S: Final = 20.0


class Newcomer:
    """Opens a session and a stream again and again, and measures the seconds until the stream is accepted."""

    def __init__(self, url: str, phase: float, interval_s: float = _INTERVAL_S) -> None:
        """`phase`: at which part of each interval it begins."""
        self._url = url
        self._phase = phase
        self._interval_s = interval_s
        self.seconds: list[float] = []
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Continue until cancelled. A refusal is counted, and not repeated."""
        while True:
            await moment(self._interval_s, self._phase)
            began = monotonic()
            try:
                async with Client(self._url, key=KEY, busy_s=0) as client, client.stream(format=_FORMAT):
                    self.seconds.append(monotonic() - began)
            except RefusedError as error:
                self.refused[error.code] += 1


async def shares(arguments: argparse.Namespace) -> Figures:
    """g. One key floods at 50 times its rate; the words and admissions of another key."""
    settings = {"WORKER_SLOTS": str(_SLOTS), "WORKER_WORDS_PER_FINAL": "3"}
    with (
        cores_apart() as cores,
        _flooding_key() as (key, keys),
        running_stack(worker_settings=settings, gateway_settings=keys) as stack,
    ):
        measured = in_real_time(stack, _SPEAKERS)
        newcomers = [Newcomer(stack.ws_url, phase) for phase in _NEWCOMERS]
        async with speaking(measured) as tasks:
            figures = await _flooded(stack, cores, key, finals(measured), newcomers, plan_of(arguments))
        return {**figures, **words(task.result() for task in tasks)}


async def real_shares(arguments: argparse.Namespace) -> Figures:
    """g. The same with the real model and all cores: six people speak in real time, others open streams."""
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": str(_SLOTS)}
    with (
        _flooding_key() as (key, keys),
        running_stack(worker_arguments=("stt",), worker_settings=settings, gateway_settings=keys) as stack,
    ):
        honest = [Honest(stack, recording()) for _ in range(_REAL_SPEAKERS)]
        newcomers = [Newcomer(stack.ws_url, phase, _REAL_INTERVAL_S) for phase in _NEWCOMERS]
        calm = Honest(stack, recording())
        await calm.read()
        plan = Plan(arguments.pressure_blocks, _REAL_PHASE_S)
        latencies = [each.latencies for each in honest]
        async with _running(_in_turn(each, number) for number, each in enumerate(honest)):
            figures = await _flooded(stack, all_cores(), key, latencies, newcomers, plan)
        texts = [text for each in honest for text in each.texts]
        errors = [word_errors(calm.texts[0], text, "en").errors for text in texts]
        return {
            **figures,
            "honest_passes": len(texts),
            "honest_passes_that_differ": sum(error > 0 for error in errors),
            "honest_words": len(calm.texts[0].split()),
        }


@contextmanager
def _flooding_key() -> Iterator[tuple[str, dict[str, str]]]:
    """A key with a rate, and the setting of the gateway that knows it."""
    with tempfile.TemporaryDirectory(prefix="talkup-bench-") as folder:
        path = Path(folder) / "keys.json"
        key = key_commands.run(["add", "flood", "--file", str(path), "--rate", str(RATE)]).strip()
        yield key, {"GATEWAY_API_KEYS_FILE": str(path)}


async def _in_turn(honest: Honest, number: int) -> None:
    """Read on until cancelled, apart from the others: all have the same recording."""
    await asyncio.sleep(honest.clip.seconds * number / _REAL_SPEAKERS)
    await honest.read_on()


async def _flooded(
    stack: Stack, cores: Cores, key: str, latencies: Sequence[list[float]], newcomers: list[Newcomer], plan: Plan
) -> Figures:
    """What a flood with `key` changes. `latencies` grow with the finals of those who speak."""
    watched = {"final": latencies, "admission": [each.seconds for each in newcomers]}
    more = ("--key", key, "--per-second", str(RATE * TIMES))
    async with disturber("flood", stack, cores, _CLIENTS, *more) as other:
        async with _running(each.run() for each in newcomers):
            phases = await alternate(watched, other, stack, cores, plan)
        results = await other.figures()
        refused = await metric(stack, "gateway_share_refusals_total")
    return {
        **results,
        "flood_times_its_rate": (times := round(results["flood_attempts_per_second"] / RATE, 1)),
        "enough_attempts": times >= _LEAST_TIMES,
        "refused_by_share": refused,
        "admissions": sum(len(each.seconds) for each in newcomers),
        "admissions_refused": dict(sum((each.refused for each in newcomers), Counter[str]())),
        **phases.figures(_BOUNDS),
    }


@asynccontextmanager
async def _running(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run this inside the block, and cancel it at its end. The first of it that fails ends the block and the rest."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        yield
        for task in tasks:
            task.cancel()
