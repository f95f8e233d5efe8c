"""A benchmark of parts that share a `Bench`: chosen by name, run until time is up, printed, written, held to bounds."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import checks, machine
from bench.checks import Findings
from bench.corpus import OWN_CLIPS
from bench.stt.bench import Bench


@dataclass(frozen=True, slots=True)
class Suite:
    """A command `name`, `about` what it measures; `results`: its file; `on_request`: parts that run only if named."""

    name: str
    about: str
    results: Path
    minutes: float
    parts: Mapping[str, Callable[[Bench], Findings]]
    on_request: frozenset[str] = frozenset()

    def run(self, argv: Sequence[str]) -> int:
        """Run the parts; returns 1 when a bound is broken on a corpus (the project's own clip is too short for bounds).

        Raises SystemExit for options that it does not know.
        """
        arguments = self._arguments(argv)
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
                found = self.parts[name](bench)
            kept += found.checks
            figures[name] = {**found.document(), "seconds": time.monotonic() - began, "surroundings": around}
            print(_indented(checks.table(checks.flattened(found.figures))), flush=True)
        print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in kept)]))
        checks.write(arguments.out, figures, kept)
        broken = any(check.verdict == "FAIL" for check in kept)
        return int(broken and arguments.corpus != OWN_CLIPS)

    def _arguments(self, argv: Sequence[str]) -> argparse.Namespace:
        usual = [part for part in self.parts if part not in self.on_request]
        parser = argparse.ArgumentParser(prog=f"python -m {self.name}", description=self.about)
        parser.add_argument("--corpus", type=Path, default=OWN_CLIPS, help="folder with manifest.jsonl")
        parser.add_argument("--only", default=",".join(usual), help="parts, comma-separated: " + ", ".join(self.parts))
        parser.add_argument("--minutes", type=float, default=self.minutes, help="how long the whole run may take")
        parser.add_argument("--out", type=Path, default=self.results, help="where the figures are written")
        arguments = parser.parse_args(argv)
        arguments.only = arguments.only.split(",")
        for name in arguments.only:
            if name not in self.parts:
                parser.error(f"no part {name}")
        return arguments


def _indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
