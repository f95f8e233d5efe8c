"""`make bench-stt`: accuracy, latency and capacity of the speech engine, compared with the project's bounds.

`--only` chooses parts; `--minutes` limits the whole run. Prints tables and writes bench/results/stt.json.
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
from bench.stt import accuracy as stt_accuracy
from bench.stt import cost as stt_cost
from bench.stt import crowd as stt_crowd
from bench.stt import delivery as stt_delivery
from bench.stt import exact as stt_exact
from bench.stt import files as stt_files
from bench.stt import finish as stt_finish
from bench.stt import languages as stt_languages
from bench.stt import live as stt_live
from bench.stt import naive as stt_naive
from bench.stt import perturbed as stt_perturbed
from bench.stt import slots as stt_slots
from bench.stt.bench import Bench

RESULTS = Path(__file__).parents[1] / "results" / "stt.json"
PARTS: dict[str, Callable[[Bench], Findings]] = {
    "capacity": stt_live.capacity,
    "finish": stt_finish.finish,
    "accuracy": stt_accuracy.english,
    "french": stt_accuracy.french,
    "languages": stt_languages.languages,
    "noisy": stt_accuracy.noisy,
    "silence": stt_accuracy.silence,
    "cost": stt_cost.cost,
    "delivery": stt_delivery.delivery,
    "naive": stt_naive.compare,
    "parity": stt_exact.parity,
    "resume": stt_exact.resume,
    "perturbed": stt_perturbed.perturbed,
    "file": stt_files.recordings,
    "slots": stt_slots.slots,
    "crowd": stt_crowd.crowd,
}
ON_REQUEST = {"slots", "crowd"}
"""Parts that run only if they are named."""


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
        print(f"{name} ({bench.left / 60:.0f} min left)", flush=True)
        began = time.monotonic()
        with machine.surroundings() as around:
            found = PARTS[name](bench)
        kept += found.checks
        figures[name] = {**found.document(), "seconds": time.monotonic() - began, "surroundings": around}
        print(_indented(checks.table(checks.flattened(found.figures))), flush=True)
    print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in kept)]))
    checks.write(arguments.out, figures, kept)
    broken = any(check.verdict == "FAIL" for check in kept)
    return int(broken and arguments.corpus != OWN_CLIPS)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.stt", description=__doc__)
    parser.add_argument("--corpus", type=Path, default=OWN_CLIPS, help="folder with manifest.jsonl")
    parser.add_argument(
        "--only",
        default=",".join(part for part in PARTS if part not in ON_REQUEST),
        help="parts, comma-separated: " + ", ".join(PARTS),
    )
    parser.add_argument("--minutes", type=float, default=25.0, help="how long the whole run may take")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    arguments = parser.parse_args(argv)
    arguments.only = arguments.only.split(",")
    for name in arguments.only:
        if name not in PARTS:
            parser.error(f"no part {name}")
    return arguments


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
