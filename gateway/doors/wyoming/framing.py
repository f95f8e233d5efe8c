"""Wyoming's events on the wire: a line of JSON, then more data in JSON, then a payload, each of a bounded size.

See https://github.com/OHF-Voice/wyoming#format.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from gateway.protocol.errors import Code, Problem

MAX_LINE_BYTES: Final = 16 * 1024
MAX_DATA_BYTES: Final = 64 * 1024
MAX_PAYLOAD_BYTES: Final = 1024 * 1024
"""Half a minute of the sound that clients send; they send tenths of a second."""

_MAX_JSON_VALUES: Final = 4096
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a client."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes = b""


class FramingError(Exception):
    """Bytes that are no event: what follows them cannot be read either."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Header(Struct):
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    data: dict[str, Any] | None = None
    data_length: Annotated[int, Meta(ge=0)] | None = None
    payload_length: Annotated[int, Meta(ge=0)] | None = None


async def read_event(reader: asyncio.StreamReader, *, idle_s: float, rest_s: float) -> Event | None:
    """The next event; None at the end of the connection, in the middle of an event too.

    `reader` has the limit MAX_LINE_BYTES. `idle_s`: time for the line, `rest_s` for what follows it. Raises
    FramingError, and TimeoutError if nothing comes in time.
    """
    try:
        async with asyncio.timeout(idle_s):
            line = await reader.readuntil(b"\n")
        header = _header(line)
        async with asyncio.timeout(rest_s):
            more = await reader.readexactly(header.data_length or 0)
            payload = await reader.readexactly(header.payload_length or 0)
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError:
        raise _too_large("line", MAX_LINE_BYTES) from None
    data = header.data or {}
    return Event(header.type, {**data, **_object(more)} if more else data, payload)


def write_event(kind: str, data: Mapping[str, Any] | Struct | None = None) -> bytes:
    """An event to a client, without a payload."""
    body = b"" if data is None else msgspec.json.encode(data)
    header: dict[str, Any] = {"type": kind}
    if body:
        header["data_length"] = len(body)
    return msgspec.json.encode(header) + b"\n" + body


def _header(line: bytes) -> _Header:
    try:
        _bound_values(line)
        header = msgspec.json.decode(line, type=_Header)
    except _UNREADABLE:
        raise _bad_json("the line of an event must be a JSON object with its type") from None
    if (header.data_length or 0) > MAX_DATA_BYTES:
        raise _too_large("data", MAX_DATA_BYTES)
    if (header.payload_length or 0) > MAX_PAYLOAD_BYTES:
        raise _too_large("payload", MAX_PAYLOAD_BYTES)
    return header


def _object(text: bytes) -> dict[str, Any]:
    try:
        _bound_values(text)
        return msgspec.json.decode(text, type=dict[str, Any])
    except _UNREADABLE:
        raise _bad_json("the data of an event must be a JSON object") from None


def _bound_values(text: bytes) -> None:
    """Refuse JSON that would become far more memory than it has bytes: commas are a bound of its values."""
    if text.count(b",") > _MAX_JSON_VALUES:
        raise FramingError(Problem(Code.BAD_MESSAGE, f"an event has at most {_MAX_JSON_VALUES} values"))


def _bad_json(text: str) -> FramingError:
    return FramingError(Problem(Code.BAD_JSON, text))


def _too_large(part: str, limit: int) -> FramingError:
    return FramingError(Problem(Code.PAYLOAD_TOO_LARGE, f"the {part} of an event has at most {limit} bytes"))
