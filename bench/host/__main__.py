"""`make bench-host`: in about five minutes, what this host carries and what an autoscaler needs to know.

Speech: a worker with the model of WORKER_MODEL says how many slots it measures; that many live streams, then more or
fewer, show how many it carries (95 % of the streams final within 2 s of their end). On a host with a GPU, the worker
uses it. Gateway: CPU of a chunk and memory of connections, measured as part `overhead` of `make bench-gateway` does,
with Node.js. Run it on an otherwise idle host: the table says what else used the CPU. Writes bench/results/host.json,
from which `python -m bench.capacity --speakers N` calculates.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import checks, machine
from bench.capacity.figures import table
from bench.capacity.sizing import HostFigures, autoscaling
from bench.checks import Findings
from bench.corpus import OWN_CLIPS
from bench.gateway.overhead.drill import LOADS, memory
from bench.gateway.overhead.load import measure
from bench.gateway.overhead.process import resident_kib
from bench.gateway.overhead.subjects import running_subjects
from bench.host.search import next_trial
from bench.stt.bench import Bench
from bench.stt.live import Trial, tracks_of, trial
from bench.stt.worker import worker_process

RESULTS = Path(__file__).parents[1] / "results" / "host.json"
_MANY = 5_000
_ALONE_S, _TRIAL_S = 10.0, 20.0
_LONGEST_TRIAL_S = 60.0  # with its start, and streams that play to their end
_GATEWAY_S = 10.0
_GATEWAY_PART_S = 60.0
_MB = 1e6
_QUIET = 0.15


def main(argv: Sequence[str]) -> int:
    """Measure, print, write."""
    arguments = _arguments(argv)
    bench = Bench(arguments.corpus, arguments.minutes, lambda line: print(f"  {line}", flush=True))
    figures: dict[str, Any] = {"machine": machine.describe(), "gpu": machine.gpu() or None}
    with machine.surroundings() as around:
        began = time.monotonic()
        figures["gateway"] = _gateway() if shutil.which("node") else "not measured: no Node.js"
        figures["speech"] = _speech(bench, arguments.model)
        figures["seconds"] = round(time.monotonic() - began)
    figures["surroundings"] = around
    figures["host"] = host_figures(figures["speech"], figures["gateway"], has_gpu=bool(figures["gpu"]))
    figures["autoscaling"] = autoscaling(HostFigures.of(figures["host"]))
    print(checks.table(checks.flattened({name: figures[name] for name in ("machine", "surroundings", "host")})))
    print(table(figures["autoscaling"]))
    if (busy := figures["speech"]["other_cpu_share"]) > _QUIET:
        print(
            f"warning: other programs used {busy:.0%} of the CPU: these are not the figures of this host; run it again"
        )
    checks.write(arguments.out, figures, [])
    return 0


def host_figures(speech: Mapping[str, Any], gateway: Mapping[str, Any] | str, *, has_gpu: bool) -> dict[str, Any]:
    """The figures that sizing.py calculates with; None: not measured. With a GPU, its streams count, not a core's."""
    measured = {} if isinstance(gateway, str) else gateway
    carried = speech["largest"] or None  # none kept up: that says something of the moment, not of the host
    return {
        "streams_per_core": carried and round(carried / speech["cores"], 2),
        "streams_per_gpu": carried if has_gpu else None,
        "worker_slots": speech["slots_by_worker"],
        "worker_mb": speech["worker_mb"],
        "stream_mb": speech["stream_mb"],
        "gateway_us_per_chunk": measured.get("us_per_chunk"),
        "gateway_mb": measured.get("mb"),
        "connection_kib": measured.get("connection_kib"),
    }


def _speech(bench: Bench, model: str) -> dict[str, Any]:
    """How many live streams the worker carries, and its memory."""
    found = Findings()
    with worker_process(model) as worker:
        own = worker.own_slots
    bench.say(f"the worker measures {own} slots")
    tracks = tracks_of(bench)
    trials: list[Trial] = []

    def play(streams: int, seconds: float) -> Trial:
        with worker_process(model, slots=_MANY) as worker:
            return trial(bench, found, worker, tracks, streams, seconds)

    alone = play(1, _ALONE_S)
    carried = largest(lambda streams: _kept(trials, play(streams, _TRIAL_S)), own, lambda: bench.left)
    fullest = max(trials, key=lambda one: one.streams, default=alone)
    more = max(1, fullest.streams - 1)
    return {
        "model": model,
        "cores": bench.threads,
        "slots_by_worker": own,
        "largest": carried,
        "worker_mb": round(alone.memory / _MB),
        "stream_mb": round(max(0, fullest.memory - alone.memory) / more / _MB, 1),
        "other_cpu_share": round(max(one.other for one in (alone, *trials)), 2),
        "trials": found.figures,
    }


def _kept(trials: list[Trial], one: Trial) -> bool:
    trials.append(one)
    return one.keeps_up


def largest(keeps_up: Callable[[int], bool], first: int, left: Callable[[], float]) -> int:
    """The largest number of streams that was seen to keep up; 0 if none was. Stops when the time is used up."""
    good, bad, streams = 0, None, max(1, first)
    while streams and left() > _LONGEST_TRIAL_S:
        if keeps_up(streams):
            good = max(good, streams)
        else:
            bad = streams if bad is None else min(bad, streams)
        streams = next_trial(good, bad)
    return good


def _gateway() -> dict[str, Any]:
    """CPU of a chunk in µs, KiB of a connection with a stream, MB of the process; on a busy host perhaps not all."""
    found: dict[str, Any] = {}

    async def fill() -> None:
        with running_subjects() as subjects:
            ours = next(each for each in subjects if each.name == "ours json")
            assert ours.pid is not None
            found["mb"] = round(resident_kib(ours.pid) * 1024 / _MB)
            row = await measure(ours, LOADS["live"], _GATEWAY_S)
            found["us_per_chunk"] = row.us_per_chunk and round(row.us_per_chunk, 1)
            found["delivered"] = round(row.delivered, 3)
            held = (await memory([ours]))[ours.name]
            found["connection_kib"] = round(held["idle"] + held["with_stream"], 1)

    async def within_time() -> None:
        async with asyncio.timeout(_GATEWAY_PART_S):
            await fill()

    try:
        asyncio.run(within_time())
    except TimeoutError:
        found["incomplete"] = f"the host is too busy: not all was measured within {_GATEWAY_PART_S:.0f} s"
    return found


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.host", description=__doc__)
    parser.add_argument("--model", default=os.environ.get("WORKER_MODEL", "tiny.en"), help="its weights (%(default)s)")
    parser.add_argument("--corpus", type=Path, default=OWN_CLIPS, help="folder with manifest.jsonl")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long the whole run may take (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
