"""Options of a dialect: one table says which are supported, ignored and refused. Nothing is silently ignored.

The first row that fits an option decides. An option without a row is ignored, and named in the session's warning.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem

_MAX_WARNED = 40
_MAX_NAME = 64
_MORE = "and more"
_ON, _OFF = ("true", "1"), ("false", "0")


IGNORED_HEADER: Final = "talkup-ignored-options"


class Treatment(StrEnum):
    """What becomes of an option."""

    SUPPORTED = "supported"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Option:
    """A row: the treatment of an option, or only of some of its values (patterns of shells, in lower case).

    `note`: what the gateway makes of it; for a refused one the reason, as the client reads it.
    """

    name: str
    treatment: Treatment
    note: str
    values: Sequence[str] = ("*",)

    def fits(self, name: str, value: str) -> bool:
        """Whether the row decides about this option and value."""
        return name == self.name and any(fnmatch.fnmatchcase(value.lower(), pattern) for pattern in self.values)


@dataclass(frozen=True, slots=True)
class Given:
    """The supported options of a client by name, each with its values in order, and what is said about the others."""

    values: Mapping[str, Sequence[str]]
    ignored: Sequence[tuple[str, str]] = field(default=())

    def first(self, name: str, default: str = "") -> str:
        """The first value of an option."""
        return self.values.get(name, (default,))[0]

    def is_true(self, name: str) -> bool:
        """Whether a switch is on. Raises RefusedError for what is neither true nor false."""
        text = self.first(name, "false").lower()
        if text not in (*_ON, *_OFF):
            raise refused(name, "must be true or false")
        return text in _ON

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number; None without one. Raises RefusedError for anything else."""
        text = self.first(name)
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high):
            raise refused(name, f"must be a whole number from {low} to {high}")
        return int(text)


def refused(name: str, why: str) -> RefusedError:
    """The refusal of an option."""
    return RefusedError(Problem(Code.BAD_MESSAGE, f"{name}: {why}", field=name))


def sort_options(table: Sequence[Option], options: Iterable[tuple[str, str]]) -> Given:
    """Sort what a client asks for by the table; an empty value asks for nothing.

    Raises RefusedError for an option that is refused.
    """
    values: dict[str, list[str]] = {}
    ignored: dict[str, str] = {}
    for name, value in options:
        if not value:
            continue
        row = next((row for row in table if row.fits(name, value)), None)
        if row is None:
            ignored.setdefault(name[:_MAX_NAME], "the gateway does not know this option")
        elif row.treatment is Treatment.REFUSED:
            raise refused(name, row.note)
        elif row.treatment is Treatment.IGNORED:
            ignored.setdefault(name, row.note)
        else:
            values.setdefault(name, []).append(value)
    warnings = list(ignored.items())
    if len(warnings) > _MAX_WARNED:
        more = len(warnings) - _MAX_WARNED
        warnings[_MAX_WARNED:] = [(_MORE, f"{more} further options are ignored")]
    return Given(values, warnings)


def merged(before: Mapping[str, str], more: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The ignored options of a session after another request for options, as few as `sort_options` gives."""
    both = {**before, **dict(more)}
    known = [(name, why) for name, why in both.items() if name != _MORE]
    if len(known) <= _MAX_WARNED:
        return both
    return {**dict(known[:_MAX_WARNED]), _MORE: "further options are ignored"}


def as_header(ignored: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The header that names the ignored options, if there are any. Other characters than ASCII's become `?`."""
    names = ", ".join(re.sub(r"[^ -+\--~]", "?", name) for name, _ in ignored)
    return {IGNORED_HEADER: names} if names else {}


def cells(table: Sequence[Option]) -> list[tuple[str, ...]]:
    """The rows of the table in docs/doors.md."""
    return [
        (
            f"`{row.name}`" if row.values == ("*",) else f"`{row.name}` {', '.join(f'`{v}`' for v in row.values)}",
            str(row.treatment),
            row.note,
        )
        for row in table
    ]
