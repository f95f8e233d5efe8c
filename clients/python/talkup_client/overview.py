"""The status of a gateway as text for the user. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_HEAD = ("service", "workers", "serving", "free slots", "models", "languages")
_WORKERS_HEAD = ("worker", "service", "state", "slots used", "streams from here")
_MAX_NAMES = 6


def overview(data: Mapping[str, Any]) -> str:
    """The `data` of a `status` message as a table: a line about the gateway, one per service, one per stream."""
    session = _mapping(data.get("session"))
    lines = [
        f"gateway    {data.get('state', 'unknown')}, version {data.get('version', 'unknown')}, "
        f"up {_duration(data.get('uptime_seconds'))}",
        f"protocol   {_names(data.get('protocol_versions')) or 'unknown'}",
        f"session    {session.get('session_id', 'unknown')}",
        "",
    ]
    services = [_mapping(each) for each in data.get("services") or ()]
    lines += _table([_HEAD, *(_service(each) for each in services)])
    lines += [line for service in services for line in troubles(service)]
    if not services:
        lines.append("no services")
    return "\n".join(lines) + "\n"


def workers_table(workers: Sequence[Mapping[str, Any]]) -> str:
    """The workers that a gateway lists, as a table."""
    rows = [
        (
            str(worker.get("address", "?")),
            str(worker.get("service", "?")),
            "draining" if worker.get("draining") else "serving" if worker.get("serving") else "away",
            "-" if worker.get("slots") is None else f"{worker.get('slots_used')} of {worker['slots']}",
            str(worker.get("streams", "?")),
        )
        for worker in workers
    ]
    return "\n".join(_table([_WORKERS_HEAD, *rows])) + "\n"


def troubles(service: Mapping[str, Any]) -> list[str]:
    """Why workers of a service do not serve, a line for each cause."""
    found = [_mapping(each) for each in service.get("troubles") or ()]
    return [
        f"{service.get('service', '?')}: {each.get('workers', '?')} not serving "
        f"({each.get('cause', 'unknown')}): {each.get('message', '')}"
        for each in found
    ]


def _service(service: Mapping[str, Any]) -> tuple[str, ...]:
    counts = (str(service.get(name, "?")) for name in ("workers_total", "workers_serving", "free_slots"))
    models, languages = _names(service.get("models")), _names(service.get("languages"))
    return (str(service.get("service", "?")), *counts, models or "-", languages or "-")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _names(values: object) -> str:
    """Names joined; of many, the first and how many there are."""
    names = [str(value) for value in values] if isinstance(values, Iterable) and not isinstance(values, str) else []
    if len(names) > _MAX_NAMES:
        return f"{', '.join(names[:_MAX_NAMES])} and {len(names) - _MAX_NAMES} more"
    return ", ".join(names)


def _duration(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return "unknown"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    shown = [f"{value} {unit}" for value, unit in parts if value][:2]
    return " ".join(shown) or "0 s"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
