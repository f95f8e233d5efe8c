"""How a flood by one API key affects the streams and admissions of another.

The flood is a separate process that opens sockets and streams at 50 times the rate of its key. Quiet and disturbed
phases alternate (`phases`); meanwhile the other key speaks on four streams and keeps opening new ones.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Final

from talkup_client.client import Client
from talkup_client.errors import RefusedError

from bench.gateway.figures import Figures, words
from bench.gateway.phases import Plan, alternate, disturber, finals, in_real_time
from bench.gateway.pressure import plan_of
from bench.harness.actions import metric, speaking
from bench.harness.cores import Cores, cores_apart
from bench.harness.grid import moment
from bench.harness.stack import KEY, Stack, running_stack
from gateway import key_commands

RATE: Final = 4
TIMES: Final = 50
_CLIENTS: Final = 80
"""The gateway answers a handshake above the rate a quarter of a second late, so it takes so many for the whole rate."""
_SLOTS: Final = 32
_SPEAKERS: Final = 4
_NEWCOMERS: Final = (0.1, 0.6)
"""When in an interval they begin. The speakers speak at 0, 0.25, 0.5 and 0.75 of it, so in quiet nobody waits."""
_INTERVAL_S: Final = 0.1
_FORMAT: Final = "audio/pcm;rate=16000;channels=1;encoding=s16le"
_BOUNDS: Final = {"final": 1.1, "admission": 1.1}


class Newcomer:
    """Opens a session and a stream again and again, and measures the seconds until the stream is accepted."""

    def __init__(self, url: str, phase: float) -> None:
        """`phase`: at which part of each interval it begins."""
        self._url = url
        self._phase = phase
        self.seconds: list[float] = []
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Continue until cancelled. A refusal is counted, and not repeated."""
        while True:
            await moment(_INTERVAL_S, self._phase)
            began = monotonic()
            try:
                async with Client(self._url, key=KEY, busy_s=0) as client, client.stream(format=_FORMAT):
                    self.seconds.append(monotonic() - began)
            except RefusedError as error:
                self.refused[error.code] += 1


async def shares(arguments: argparse.Namespace) -> Figures:
    """g. One key floods at 50 times its rate; the words and admissions of another key."""
    with cores_apart() as cores, tempfile.TemporaryDirectory(prefix="talkup-bench-") as folder:
        path = Path(folder) / "keys.json"
        flooding = key_commands.run(["add", "flood", "--file", str(path), "--rate", str(RATE)]).strip()
        settings = {"WORKER_SLOTS": str(_SLOTS), "WORKER_WORDS_PER_FINAL": "3"}
        keys = {"GATEWAY_API_KEYS_FILE": str(path)}
        with running_stack(worker_settings=settings, gateway_settings=keys) as stack:
            return await _measure(stack, cores, flooding, plan_of(arguments))


async def _measure(stack: Stack, cores: Cores, flooding: str, plan: Plan) -> Figures:
    measured = in_real_time(stack, _SPEAKERS)
    newcomers = [Newcomer(stack.ws_url, phase) for phase in _NEWCOMERS]
    more = ("--key", flooding, "--per-second", str(RATE * TIMES))
    watched = {"final": finals(measured), "admission": [each.seconds for each in newcomers]}
    async with speaking(measured) as tasks, disturber("flood", stack, cores, _CLIENTS, *more) as other:
        opening = asyncio.gather(*(each.run() for each in newcomers))
        phases = await alternate(watched, other, stack, cores, plan)
        await _cancelled(opening)
        results = await other.figures()
        refused = await metric(stack, "gateway_share_refusals_total")
    return {
        **results,
        "flood_times_its_rate": round(results["flood_attempts_per_second"] / RATE, 1),
        "refused_by_share": refused,
        "admissions": sum(len(each.seconds) for each in newcomers),
        "admissions_refused": dict(sum((each.refused for each in newcomers), Counter[str]())),
        **words(task.result() for task in tasks),
        **phases.figures(_BOUNDS),
    }


async def _cancelled(running: asyncio.Future[list[None]]) -> None:
    """End what runs until it is cancelled. Raises what it failed with before."""
    running.cancel()
    try:
        await running
    except asyncio.CancelledError:
        return
