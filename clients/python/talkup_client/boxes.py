"""The boxes of an MP4 file (ISO/IEC 14496-12 4.2), found without reading their content."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAX_MOOV_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its type, and the offsets in the file of its header, its content and its end."""

    kind: bytes
    header: int
    start: int
    end: int


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes between two offsets of a file, in order; stops at the first invalid one."""
    while start + 8 <= end:
        file.seek(start)
        header = file.read(16)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header[:8])
        body = start + 8
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
            body = start + 16
        elif size == 0:
            size = end - start
        if size < body - start:
            return
        yield Box(kind, start, body, min(start + size, end))
        start += size
