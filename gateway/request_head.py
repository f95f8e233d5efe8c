"""What a handshake shows of its client, found in its bytes: its target and a few of its header lines.

A flood is refused by these alone (`gateway.early_refusals`). websockets parses all other requests in full, which
takes six times as long. A malformed request may be refused here, too: websockets would refuse it as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final, Protocol

_REQUEST_LINE: Final = re.compile(rb"GET ([\x21-\x7e]+) HTTP/1\.1\r\n")
_END: Final = b"\r\n\r\n"  # of a request (RFC 9112 2.1)


class Fields(Protocol):
    """The header fields of a request."""

    def get_all(self, key: str) -> list[str]:
        """The values of a field, in order; empty if it is absent."""
        ...


class HeaderLines:
    """The fields in the bytes of a request."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def get_all(self, key: str) -> list[str]:
        """See Fields."""
        return [value.decode("iso-8859-1").strip(" \t") for value in _line_of(key).findall(self._data)]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The target and the fields of a request."""

    path: str
    headers: Fields


def head_of(data: bytes) -> RequestHead | None:
    """The head of a request; None if these bytes are no whole request, or more than one."""
    line = _REQUEST_LINE.match(data)
    if line is None or data.find(_END) != len(data) - len(_END):
        return None
    return RequestHead(line[1].decode("ascii"), HeaderLines(data))


@cache  # of the few names that the gateway asks for
def _line_of(key: str) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n" + re.escape(key.encode("ascii")) + rb":([^\r\n]*)", re.IGNORECASE)
