"""Types of settings: how to parse each from text, and how to show it in help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, get_args, get_origin

LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of setting. `parse` raises ValueError with a reason that does not repeat the text."""

    parse: Callable[[str], object]
    choices: tuple[str, ...] = ()
    is_switch: bool = False


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _parse_switch(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in {"1", "true", "yes", "on"}:
        return True
    if lowered in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("must be true or false")


def _parse_whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _parse_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("must be a number") from None


def _parse_path(text: str) -> Path:
    return Path(text.strip())


def _parse_optional_path(text: str) -> Path | None:
    return _parse_path(text) if text.strip() else None


_KINDS: dict[object, Kind] = {
    str: Kind(str.strip),
    bool: Kind(_parse_switch, is_switch=True),
    int: Kind(_parse_whole),
    float: Kind(_parse_number),
    Path: Kind(_parse_path),
    tuple[str, ...]: Kind(_parse_names),
    Path | None: Kind(_parse_optional_path),
}


def kind_of(declared: object) -> Kind:
    """The kind of a declared type: str, bool, int, float, Path, tuple[str, ...], a Literal of words, or `X | None`.

    Raises TypeError for other types.
    """
    if declared in _KINDS:
        return _KINDS[declared]
    if get_origin(declared) is Literal:
        return Kind(str.strip, choices=get_args(declared))
    if isinstance(declared, UnionType):
        members = [member for member in get_args(declared) if member is not NoneType]
        if len(members) == 1 and members[0] in _KINDS:
            return _KINDS[members[0]]
    raise TypeError(f"a setting cannot have the type {declared}")


def shown(value: object) -> str:
    """A default as help shows it."""
    match value:
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value) or "none"
        case float():
            return f"{value:g}"
        case None | "":
            return "none"
    return str(value)
