"""The figures of a simulation: cells added up, times as percentiles, and the load of its gateways and workers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bench.capacity.cell import Seen
from bench.capacity.parts import CONFIG
from bench.capacity.plan import Plan

_SHARES = (0.5, 0.95, 0.99)


def summary(plan: Plan, cells: Sequence[Seen]) -> dict[str, Any]:
    """All figures, for the table and the results file. Times are seconds."""
    counts: Counter[str] = Counter()
    for cell in cells:
        counts.update(cell.counts)
    sessions = counts.pop("sessions", 0)
    placed = [seconds for cell in cells for seconds in cell.placed]
    per_second = 1 / CONFIG.probing.interval
    return {
        "sessions": sessions,
        "gateways": plan.cells * plan.gateways,
        "workers": plan.cells * plan.workers,
        "slots per session after the failure": round(plan.slots_left, 2),
        "probes a second that a gateway sends, a worker answers": [
            plan.workers * per_second,
            plan.gateways * per_second,
        ],
        "from arrival to a worker": times(placed),
        "share placed at the first attempt": round(
            counts.pop("placed at the first attempt", 0) / max(1, counts["attempts"]), 3
        ),
        "streams a worker, least and most": _range(load for cell in cells for load in cell.loads),
        "after the failure: clients back at a gateway": times(s for cell in cells for s in cell.back),
        "after the failure: streams at another worker": times(s for cell in cells for s in cell.again),
        "after the storm: clients back at a gateway": times(s for cell in cells for s in cell.returned),
        "after the storm: streams that moved, at a worker": times(s for cell in cells for s in cell.moved),
        "longest queue for a handshake": round(max(cell.longest_queue for cell in cells), 3),
        "streams a worker at the end, least and most": _range(load for cell in cells for load in cell.loads_after),
        "streams that ended with an error": counts.pop("streams that ended with an error", 0),
        "streams without a worker at the end": counts.pop("streams without a worker at the end", 0),
        **dict(sorted(counts.items())),
        "steps": sum(cell.steps for cell in cells),
    }


def times(values: Iterable[float]) -> dict[str, float]:
    """How many there are, percentiles, and the longest."""
    ordered = sorted(values)
    if not ordered:
        return {"count": 0}
    at = {f"p{round(100 * share)}": ordered[math.ceil(share * len(ordered)) - 1] for share in _SHARES}
    return {
        "count": len(ordered),
        **{name: round(value, 3) for name, value in at.items()},
        "max": round(ordered[-1], 3),
    }


def table(figures: dict[str, Any]) -> str:
    """The figures as lines for a person."""
    width = max(map(len, figures))
    return "\n".join(f"{name:<{width}}  {_shown(value)}" for name, value in figures.items())


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each:,}" for name, each in value.items())
    if isinstance(value, list):
        return " / ".join(f"{each:,g}" for each in value)
    return f"{value:,}"


def _range(values: Iterable[int]) -> list[int]:
    found = list(values)
    return [min(found), max(found)]
