"""Rows become medians, ratios and verdicts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.checks import Check, table
from bench.gateway.overhead.load import Load, Row

# A row of a paced load counts if at least this share of what was offered was answered.
DELIVERED = 0.97
_COLUMNS = ("rows", "us_per_chunk", "us_per_chunk_least", "chunks_per_second", "delivered", "p50_ms", "p99_ms", "busy")
_BRIDGES = ("python bridge", "node bridge")


def counts(load: Load, row: Row) -> bool:
    """Whether a row may be compared: the server answered nearly all that was offered, or sets the pace itself."""
    return not load.rate or row.delivered >= DELIVERED


def summary(load: Load, rows: Sequence[Row]) -> dict[str, Any]:
    """Medians of the rows that count, and how many do not. If none counts, medians of all, for what they delivered."""
    kept = [row for row in rows if counts(load, row)]
    costs = [row.us_per_chunk for row in kept or rows if row.us_per_chunk is not None]
    return {
        "rows": len(kept),
        "dropped_rows": len(rows) - len(kept),
        **_medians(kept or rows),
        "us_per_chunk_least": round(min(costs), 1) if costs else None,
    }


def _medians(rows: Sequence[Row]) -> dict[str, float | None]:
    tables = [row.figures() for row in rows]
    found: dict[str, float | None] = {}
    for name in tables[0]:
        values = [value for row in tables if (value := row[name]) is not None]
        found[name] = round(statistics.median(values), 3) if values else None
    return found


def ratios(servers: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """CPU per chunk of the gateway over the sum of both echoes and over each bridge; only of rows that count."""
    cost: dict[str, float] = {
        name: found["us_per_chunk"] for name, found in servers.items() if found["rows"] and found["us_per_chunk"]
    }
    floors = {name: cost[name] for name in _BRIDGES if name in cost}
    if "ws echo" in cost and "grpc echo" in cost:
        floors["echoes"] = cost["ws echo"] + cost["grpc echo"]
    return {
        f"{name} / {floor}": round(value / base, 3)
        for name, value in cost.items()
        if name.startswith(("ours", "unlinked", "other", *_BRIDGES))
        for floor, base in sorted(floors.items())
        if floor != name
    }


def bounds(figures: Mapping[str, Any]) -> list[Check]:
    """What the gateway is held to; a value of nan was not measured, or no row counts."""

    def figure(*path: str) -> float:
        found: Any = figures
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return math.nan if found is None else float(found)

    def ratio(load: str, name: str) -> float:
        return figure(f"{load}_ratios", name)

    added = figure("half", "ours json", "p99_ms") - figure("half", "direct", "p99_ms")
    delivered = figure("offered_5000", "ours json", "chunks_per_second")
    closed_loop = figure("saturated", "ours json", "chunks_per_second")
    return [
        Check("live, json: CPU / both echoes", ratio("live", "ours json / echoes"), "<=", 1.15),
        Check("live, binary: CPU / both echoes", ratio("live", "ours binary / echoes"), "<=", 1.0),
        Check("saturated, json: CPU / both echoes", ratio("saturated", "ours json / echoes"), "<=", 1.15),
        Check("saturated, binary: CPU / both echoes", ratio("saturated", "ours binary / echoes"), "<=", 1.0),
        Check("saturated, json: CPU / Node bridge", ratio("saturated", "ours json / node bridge"), "<=", 1.0),
        Check("half load: p99 added to direct gRPC, ms", added, "<=", 5.0),
        Check("offered 5,000/s: delivered / closed loop", delivered / closed_loop, ">=", 1.0),
        Check("KiB per idle connection", figure("memory_kib", "ours json", "idle"), "<=", 20.0),
        Check("KiB per open stream", figure("memory_kib", "ours json", "with_stream"), "<=", 60.0),
    ]


def report(figures: Mapping[str, Any], loads: Iterable[str]) -> str:
    """The tables that a person reads."""
    parts: list[str] = []
    for load in loads:
        rows = [("server", *_COLUMNS)]
        rows += [(name, *(_cell(found[column]) for column in _COLUMNS)) for name, found in figures[load].items()]
        parts.append(f"{load}\n{table(rows)}")
    if "memory_kib" in figures:
        kinds = ("idle", "with_stream")
        rows = [(name, *(_cell(found.get(kind)) for kind in kinds)) for name, found in figures["memory_kib"].items()]
        parts.append("memory, KiB per connection\n" + table([("server", *kinds), *rows]))
    parts.append("bounds\n" + table([check.row() for check in bounds(figures)]))
    return "\n\n".join(parts)


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
