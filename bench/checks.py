"""Figures of a benchmark and their bounds, as a table to read and a file for programs."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, "==": operator.eq}


@dataclass(frozen=True, slots=True)
class Check:
    """One bound: `value` is what `name` describes, `bound` is its limit. A value of nan was not measured."""

    name: str
    value: float
    comparison: str
    bound: float

    @property
    def verdict(self) -> str:
        """pass, FAIL or "not measured"."""
        if math.isnan(self.value):
            return "not measured"
        return "pass" if _COMPARISONS[self.comparison](round(self.value, 6), self.bound) else "FAIL"

    def row(self) -> tuple[str, str, str, str]:
        """The check as a row of the table."""
        value = "-" if math.isnan(self.value) else f"{self.value:.4g}"
        return self.name, value, f"{self.comparison} {self.bound:g}", self.verdict


@dataclass(slots=True)
class Findings:
    """The results of a part: figures by name, checks against bounds, and ratios to references (`bench.ratios`)."""

    figures: dict[str, Any] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    ratios: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The figures and the ratios, for the results file."""
        return {**self.figures, "ratios": self.ratios} if self.ratios else dict(self.figures)

    def check(self, name: str, value: float, comparison: str, bound: float) -> None:
        """Add a check of a figure against its bound."""
        self.checks.append(Check(name, float(value), comparison, bound))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows with their columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def flattened(figures: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as rows of a table, with names joined by dots."""
    lines: list[tuple[str, str]] = []
    for name, value in figures.items():
        if isinstance(value, Mapping):
            lines += flattened(value, f"{prefix}{name}.")
        else:
            lines.append((prefix + name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return lines


def write(path: Path, figures: Mapping[str, Any], checks: Sequence[Check]) -> None:
    """Write the results as JSON; what was not measured is null."""
    document = {
        **figures,
        "checks": [
            {"name": c.name, "value": c.value, "comparison": c.comparison, "bound": c.bound, "verdict": c.verdict}
            for c in checks
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_plain(document), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float():
            return round(value, 4) if math.isfinite(value) else None
        case _:
            return value
