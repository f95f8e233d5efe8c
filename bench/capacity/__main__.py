"""`python -m bench.capacity`: simulates placement, the loss of a zone and the storm that follows; sizes installations.

The simulation runs the gateway's own balancer, worker states, admission, shares and the client's backoff on simulated
time; it is deterministic for a seed. `--speakers N` calculates what N concurrent speakers need instead, from the
figures of `make bench-host` if there are any. Writes bench/results/capacity.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.capacity.cell import Cell, Seen
from bench.capacity.figures import summary, table
from bench.capacity.plan import Plan
from bench.capacity.sizing import HostFigures, autoscaling, needs, sized

RESULTS = Path(__file__).parents[1] / "results"
_NUMBERS = ("cells", "zones", "gateways", "workers", "slots", "owners", "seed")


def simulate(plan: Plan, jobs: int = 1) -> list[Seen]:
    """Every cell of the plan, in order, on several processes; their number changes no figure."""
    if jobs <= 1:
        return [_run(plan, number) for number in range(plan.cells)]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(_run, [plan] * plan.cells, range(plan.cells)))


def _run(plan: Plan, number: int) -> Seen:
    return Cell(plan, number).run()


def main(argv: Sequence[str]) -> int:
    """Simulate or calculate; print and write."""
    arguments = _arguments(argv)
    if arguments.speakers:
        host = HostFigures()
        if arguments.host.exists():
            host = HostFigures.of(json.loads(arguments.host.read_text(encoding="utf-8"))["host"])
        for speakers in arguments.speakers:
            print(table(needs(speakers, host)), end="\n\n")
        print(table(autoscaling(host)))
        return 0
    chosen = {name: value for name in _NUMBERS if (value := getattr(arguments, name)) is not None}
    plan = sized(arguments.sessions, **chosen)
    began = time.monotonic()
    figures = summary(plan, simulate(plan, arguments.jobs))
    print(table(figures))
    print(f"took {time.monotonic() - began:.0f} s")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000, help="one stream each (%(default)s)")
    for name in _NUMBERS:
        parser.add_argument(f"--{name}", type=int, help="instead of what the calculation gives, see Plan")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (%(default)s)")
    parser.add_argument("--speakers", type=int, nargs="+", default=[], help="calculate what these numbers need")
    parser.add_argument("--host", type=Path, default=RESULTS / "host.json", help="figures of `make bench-host`")
    parser.add_argument("--out", type=Path, default=RESULTS / "capacity.json", help="where the figures are written")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
