"""`python -m bench.delivery`: what the delivery service measures, against sound whose truth is known.

`--only` chooses parts; `--minutes` limits the whole run. Prints tables and writes bench/results/delivery.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import checks, machine
from bench.checks import Findings
from bench.corpus import OWN_CLIPS
from bench.delivery.fillers import fillers
from bench.delivery.truth import truth
from bench.stt.bench import Bench

RESULTS = Path(__file__).parents[1] / "results" / "delivery.json"
PARTS: dict[str, Callable[[Bench], Findings]] = {"truth": truth, "fillers": fillers}


def main(argv: Sequence[str]) -> int:
    """Run the parts; return 1 when a bound is broken on a corpus (the project's own clip is too short for bounds)."""
    arguments = _arguments(argv)
    bench = Bench(arguments.corpus, arguments.minutes, lambda line: print(f"  {line}", flush=True))
    figures: dict[str, object] = {"machine": machine.describe()}
    kept: list[checks.Check] = []
    for name in arguments.only:
        if bench.left < 0:
            print(f"{name}: skipped, no time left", flush=True)
            continue
        print(name, flush=True)
        began = time.monotonic()
        found = PARTS[name](bench)
        kept += found.checks
        figures[name] = {**found.document(), "seconds": time.monotonic() - began}
        print(checks.table(checks.flattened(found.figures)), flush=True)
    print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in kept)]))
    checks.write(arguments.out, figures, kept)
    broken = any(check.verdict == "FAIL" for check in kept)
    return int(broken and arguments.corpus != OWN_CLIPS)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.delivery", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=OWN_CLIPS, help="folder with manifest.jsonl")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated: " + ", ".join(PARTS))
    parser.add_argument("--minutes", type=float, default=60.0, help="how long the whole run may take")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    arguments = parser.parse_args(argv)
    arguments.only = arguments.only.split(",")
    for name in arguments.only:
        if name not in PARTS:
            parser.error(f"no part {name}")
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
