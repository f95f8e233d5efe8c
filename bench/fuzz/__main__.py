"""Fuzzes everything that parses bytes from outside. `python -m bench.fuzz --minutes 20`.

Each target takes its share of the time. Inputs that break a promise are written to bench/results/fuzz, and the command
fails. Writes bench/results/fuzz.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from random import Random

from bench.fuzz.loop import Result, fuzz
from bench.fuzz.targets import targets

RESULTS = Path(__file__).parents[1] / "results"
_SHARES = {"demuxers": 6, "codec": 3, "decoder state": 2}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="targets, comma-separated")
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    chosen = [each for each in targets() if not arguments.only or each.name in arguments.only.split(",")]
    shares = sum(_SHARES.get(each.name, 1) for each in chosen)
    results: dict[str, Result] = {}
    for target in chosen:
        end = time.monotonic() + 60 * arguments.minutes * _SHARES.get(target.name, 1) / shares
        result = fuzz(target, Random(f"{arguments.seed} {target.name}"), lambda _, end=end: time.monotonic() < end)
        results[target.name] = result
        print(
            f"{target.name:18} {result.executions:9,} executions {result.lines:5} lines {result.kept:5} inputs kept "
            f"{len(result.findings):3} findings",
            flush=True,
        )
        for number, (what, data) in enumerate(result.findings.items()):
            path = RESULTS / "fuzz" / f"{target.name.replace(' ', '-')}-{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"  {what}: {path}")
    report = {
        name: {"executions": each.executions, "lines": each.lines, "findings": sorted(each.findings)}
        for name, each in results.items()
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "fuzz.json").write_text(json.dumps(report, indent=2) + "\n")
    return int(any(each.findings for each in results.values()))


if __name__ == "__main__":
    sys.exit(main())
