"""`make bench-check`: compares the ratios in bench/results with the committed ones of bench/ratios.json.

A ratio is a figure of ours divided by that of a reference (offline faster-whisper, a raw echo, FaceMesh, another
server) of the same run on the same machine. So it means something on any machine, where seconds do not. Ratios still
depend on the instruction set; each committed one names the kind of processor that it was measured on. A ratio that is
worse by more than its tolerance fails. `--accept` takes the ratios of the results over into the committed file.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import checks

COMMITTED = Path(__file__).with_name("ratios.json")
RESULTS = Path(__file__).with_name("results")
TOLERANCE = 0.15
"""The share by which a ratio may be worse than the committed one."""

_NOTHING_COMPARED = 2


class RatiosError(Exception):
    """A file that is not what it should be; the message is for the terminal."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A ratio in a results file. `lower_is_better`: whether a cost or an error, not a capacity, is divided."""

    name: str
    ratio: float
    against: str
    lower_is_better: bool
    processor: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A ratio that new ones are compared with, and the kind of processor it was measured on (`bench.machine`)."""

    name: str
    processor: str
    ratio: float
    against: str
    lower_is_better: bool = True
    tolerance: float = TOLERANCE

    @property
    def limit(self) -> float:
        """The worst ratio that still passes."""
        return self.ratio * (1 + self.tolerance if self.lower_is_better else 1 - self.tolerance)


@dataclass(frozen=True, slots=True)
class Compared:
    """A committed ratio with the measured one; None: not in the results."""

    committed: Committed
    measured: float | None

    @property
    def verdict(self) -> str:
        """pass, better (by more than the tolerance), FAIL or "not measured"."""
        if self.measured is None or math.isnan(self.measured):
            return "not measured"
        wanted = self.committed
        sign = 1 if wanted.lower_is_better else -1
        if sign * (self.measured - wanted.limit) > 1e-9:
            return "FAIL"
        return "better" if sign * (self.measured - wanted.ratio) < -wanted.tolerance * wanted.ratio else "pass"

    def row(self) -> tuple[str, str, str, str, str]:
        """For the table."""
        value = "-" if self.measured is None else f"{self.measured:.3g}"
        wanted = self.committed
        return wanted.name, value, f"{wanted.ratio:.3g}", f"{wanted.limit:.3g}", self.verdict


def ratio(ours: float, reference: float, against: str, *, lower_is_better: bool = True) -> dict[str, Any]:
    """An entry for `ratios` in the figures of a benchmark's part."""
    value = ours / reference if reference else math.nan
    return {
        "ratio": value,
        "ours": ours,
        "reference": reference,
        "against": against,
        "lower_is_better": lower_is_better,
    }


def measured(bench: str, document: Mapping[str, Any]) -> Iterator[Measured]:
    """The ratios in a results file: the entries of every `ratios`, named BENCH.PART.NAME.

    A part that kept results of an earlier run has its own `machine`; otherwise the document's counts.
    """
    yield from _measured(bench, document, "unknown")


def _measured(path: str, figures: Mapping[str, Any], processor: str) -> Iterator[Measured]:
    machine = figures.get("machine")
    if isinstance(machine, Mapping):
        processor = str(machine.get("kind", processor))
    for name, value in figures.items():
        if not isinstance(value, Mapping):
            continue
        if name != "ratios":
            yield from _measured(f"{path}.{name}", value, processor)
            continue
        for inner, entry in value.items():
            yield _entry(f"{path}.{inner}", entry, processor)


def _entry(name: str, entry: Any, processor: str) -> Measured:
    try:
        value = math.nan if entry["ratio"] is None else float(entry["ratio"])
        return Measured(name, value, str(entry["against"]), bool(entry["lower_is_better"]), processor)
    except (KeyError, TypeError, ValueError):
        raise RatiosError(f"{name}: not a ratio with `ratio`, `against` and `lower_is_better`") from None


def compare(committed: Iterable[Committed], found: Iterable[Measured]) -> list[Compared]:
    """Each committed ratio of the processors in the results, with the one measured."""
    values = {(one.name, one.processor): one.ratio for one in found}
    kinds = {processor for _, processor in values}
    return [Compared(one, values.get((one.name, one.processor))) for one in committed if one.processor in kinds]


def accepted(committed: Iterable[Committed], found: Iterable[Measured]) -> list[Committed]:
    """The committed ratios with those of the results in their places, tolerances kept; sorted."""
    kept = {(one.name, one.processor): one for one in committed}
    for one in found:
        if not math.isnan(one.ratio):
            before = kept.get((one.name, one.processor))
            tolerance = before.tolerance if before else TOLERANCE
            value = float(f"{one.ratio:.4g}")
            kept[one.name, one.processor] = Committed(
                one.name, one.processor, value, one.against, one.lower_is_better, tolerance
            )
    return [kept[key] for key in sorted(kept)]


def read_committed(path: Path) -> list[Committed]:
    """The committed ratios. Raises RatiosError."""
    try:
        return [Committed(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise RatiosError(f"{path}: {error}") from None


def read_results(folder: Path) -> list[Measured]:
    """The ratios of all results in a folder. Raises RatiosError."""
    found: list[Measured] = []
    for path in sorted(folder.glob("*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RatiosError(f"{path}: {error}") from None
        if isinstance(document, Mapping):
            found += measured(path.stem, document)
    return found


def main(argv: Sequence[str]) -> int:
    """Compare and print; return 1 if a ratio is too bad, 2 if none could be compared."""
    arguments = _arguments(argv)
    try:
        committed, found = read_committed(arguments.committed), read_results(arguments.results)
    except RatiosError as error:
        print(f"bench-check: {error}", file=sys.stderr)
        return _NOTHING_COMPARED
    if arguments.accept:
        rows = [asdict(one) for one in accepted(committed, found)]
        arguments.committed.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        print(f"{len(found)} ratios taken over into {arguments.committed}")
        return 0
    compared = compare(committed, found)
    if compared:
        header = ("ratio", "measured", "committed", "limit", "")
        print(checks.table([header, *(one.row() for one in compared)]))
    known = {(one.name, one.processor) for one in committed}
    for one in found:
        if (one.name, one.processor) not in known:
            print(f"new, not compared: {one.name} on {one.processor}: {one.ratio:.3g} (against {one.against})")
    if all(one.verdict == "not measured" for one in compared):
        print(
            "bench-check: no ratio could be compared; run a benchmark first, such as `make bench-stt`", file=sys.stderr
        )
        return _NOTHING_COMPARED
    return int(any(one.verdict == "FAIL" for one in compared))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ratios", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder with the results (%(default)s)")
    parser.add_argument("--committed", type=Path, default=COMMITTED, help="file to compare with (%(default)s)")
    parser.add_argument("--accept", action="store_true", help="write the ratios of the results into that file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
