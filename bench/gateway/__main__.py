"""Measures words, seconds and bytes when workers, sockets or clients fail or fall behind.

Gateway and workers are real processes on loopback; the fake engine's words are exact. These are the fault scenarios of
tests/chaos in their long form. `python -m bench.gateway --only kill --kills 100` runs one. Writes
bench/results/gateway.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench import machine
from bench.gateway import doors, pairs
from bench.gateway.failures import cuts, envoy, gateways, kill, outage, rolling, stop
from bench.gateway.figures import Figures
from bench.gateway.hostile import hostile, nonsense
from bench.gateway.hostile_media import hostile_media
from bench.gateway.load import restart, soak, storm
from bench.gateway.overhead import drill as overhead
from bench.gateway.pressure import admission, deaf, slow
from bench.gateway.real import real
from bench.gateway.shares import real_shares, shares
from bench.gateway.talkup import talkup

RESULTS = Path(__file__).parents[1] / "results" / "gateway.json"

SCENARIOS: dict[str, Callable[[argparse.Namespace], Awaitable[Figures]]] = {
    "kill": kill,
    "stop": stop,
    "cuts": cuts,
    "talkup": talkup,
    "gateways": gateways,
    "rolling": rolling,
    "outage": outage,
    "envoy": envoy,
    "slow": slow,
    "deaf": deaf,
    "admission": admission,
    "shares": shares,
    "real_shares": real_shares,
    "storm": storm,
    "restart": restart,
    "hostile": hostile,
    "nonsense": nonsense,
    "hostile_media": hostile_media,
    "real": real,
    "soak": soak,
    "overhead": overhead.overhead,
    "doors": doors.doors,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("--only", default=",".join(SCENARIOS), help="scenarios, comma-separated")
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument(
        "--away-seconds", type=float, default=10.0, help="longest time that a disconnected client stays away"
    )
    parser.add_argument("--outage-seconds", type=float, default=20.0)
    parser.add_argument("--envoy-kills", type=int, default=5)
    parser.add_argument("--pressure-seconds", type=float, default=5.0, help="length of a phase")
    parser.add_argument("--pressure-blocks", type=int, default=10, help="blocks of two quiet and two disturbed phases")
    parser.add_argument("--reconnects", type=int, default=1000)
    parser.add_argument("--soak-minutes", type=float, default=3.0)
    parser.add_argument("--rolling-rounds", type=int, default=1)
    parser.add_argument("--hostile-messages", type=int, default=20_000, help="fewer of them fail the scenario")
    parser.add_argument("--gateway-kills", type=int, default=10)
    parser.add_argument("--talkup-cuts", type=int, default=50)
    parser.add_argument(
        "--engine-ms",
        type=int,
        default=0,
        help="time that the engine takes per chunk in the scenarios slow, deaf and admission",
    )
    parser.add_argument("--real-losses", type=int, default=10)
    parser.add_argument(
        "--real-speed", type=float, default=2.0, help="speed of the recording in `real`, times real time"
    )
    parser.add_argument(
        "--hostile-inputs", type=int, default=10_000, help="mutated recordings in the scenario hostile_media"
    )
    parser.add_argument("--hostile-seconds", type=float, default=900.0, help="no more of them are sent after this time")
    parser.add_argument("--corpus", type=Path, help="a folder with manifest.jsonl, for `real`")
    overhead.add_arguments(parser)
    doors.add_arguments(parser)
    return parser.parse_args()


def _is_broken(figures: Figures) -> bool:
    """Whether a bound is broken for certain, or an attack was smaller than asked for."""
    return pairs.BROKEN in figures.values() or False in (
        value for name, value in figures.items() if name.startswith("enough_")
    )


def main() -> int:
    arguments = parse()
    kept: Figures = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    failed = False
    for name in arguments.only.split(","):
        began = time.monotonic()
        with machine.surroundings() as around:
            try:
                figures = asyncio.run(SCENARIOS[name](arguments))
            except* AssertionError as group:
                failed = True
                figures = {"failed": str(group.exceptions[0])[:400]}
        failed |= _is_broken(figures)
        figures |= {"machine": machine.describe(), "surroundings": around}
        kept[name] = {**figures, "seconds": round(time.monotonic() - began, 1)}
        print(f"\n{name}: {(SCENARIOS[name].__doc__ or '').strip()}")
        for key, value in kept[name].items():
            print(f"  {key:38} {value}")
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(kept, indent=2) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
