"""How a flood by one API key affects the streams and admissions of another.

The flood is a separate process that opens sockets and streams at 50 times the rate of its key. Quiet and disturbed
phases alternate, as in `pressure.py`; meanwhile the other key speaks on four streams and keeps opening new ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

from talkup_client.client import Client
from talkup_client.errors import RefusedError

from bench.gateway.figures import Figures, words
from bench.gateway.pressure import alternate, disturber
from bench.harness.actions import metric, percentile, speaking
from bench.harness.speaker import REAL_TIME, Speaker
from bench.harness.stack import KEY, Stack, running_stack
from gateway import key_commands

RATE = 4
TIMES = 50
_CLIENTS = 20
_SLOTS = 16
_PAUSE_S = 0.1
_FORMAT = "audio/pcm;rate=16000;channels=1;encoding=s16le"


class Newcomer:
    """Opens a session and a stream again and again, and measures the seconds until the stream is accepted."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.admitted: list[tuple[float, float]] = []
        self.refused: Counter[str] = Counter()

    async def run(self) -> None:
        """Continue until cancelled. A refusal is counted, and not repeated."""
        while True:
            began = time.monotonic()
            try:
                async with Client(self._url, key=KEY, busy_s=0) as client, client.stream(format=_FORMAT):
                    self.admitted.append((began, time.monotonic() - began))
            except RefusedError as error:
                self.refused[error.code] += 1
            await asyncio.sleep(_PAUSE_S)


async def shares(arguments: argparse.Namespace) -> Figures:
    """g. One key floods at 50 times its rate; the words and admissions of another key."""
    with tempfile.TemporaryDirectory(prefix="talkup-bench-") as folder:
        path = Path(folder) / "keys.json"
        flooding = key_commands.run(["add", "flood", "--file", str(path), "--rate", str(RATE)]).strip()
        settings = {"WORKER_SLOTS": str(_SLOTS), "WORKER_WORDS_PER_FINAL": "3"}
        keys = {"GATEWAY_API_KEYS_FILE": str(path)}
        with running_stack(worker_settings=settings, gateway_settings=keys) as stack:
            return await _measure(stack, flooding, arguments.pressure_seconds)


async def _measure(stack: Stack, flooding: str, seconds: float) -> Figures:
    measured = [Speaker(stack.ws_url, seed, pace=REAL_TIME) for seed in range(4)]
    newcomer = Newcomer(stack.ws_url)
    more = ("--key", flooding, "--per-second", str(RATE * TIMES))
    async with speaking(measured) as tasks, disturber("flood", stack, _CLIENTS, *more) as other:
        opening = asyncio.create_task(newcomer.run())
        moments: list[float] = []
        phases = await alternate(measured, other, seconds, moments.append)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if not opening.cancelled():
            opening.result()
        results = json.loads(await other.command("end"))
        refused = await metric(stack, "gateway_share_refusals_total")
    return {
        **results,
        "rate_of_the_key": RATE,
        "refused_by_share": refused,
        **words(task.result() for task in tasks),
        **phases.figures(),
        **_admissions(newcomer, moments),
    }


def _admissions(newcomer: Newcomer, moments: list[float]) -> Figures:
    """The newcomer's seconds, quiet and disturbed; `moments` are the beginnings and ends of the disturbed phases."""
    disturbed = list(zip(moments[::2], moments[1::2], strict=True))
    late = [took for began, took in newcomer.admitted if any(a <= began < b for a, b in disturbed)]
    quiet = [took for began, took in newcomer.admitted if not any(a <= began < b for a, b in disturbed)]
    return {
        "admissions": [len(quiet), len(late)],
        "admissions_refused": dict(newcomer.refused),
        "admission_p50_ms": [round(1000 * percentile(each, 0.5), 2) for each in (quiet, late)],
        "admission_p95_ms": [round(1000 * percentile(each, 0.95), 2) for each in (quiet, late)],
        "admission_p95_ratio": round(percentile(late, 0.95) / percentile(quiet, 0.95), 2),
    }
