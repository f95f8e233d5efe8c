"""Moves the index of an MP4 in front of its media, so that a gateway can decode the file while it arrives.

Most recorders write the index (the `moov` box, ISO/IEC 14496-12 8.2.1) when they stop, behind the media (`mdat`). The
index names the place of each chunk of media by its offset in the file (`stco` and `co64`, 8.7.5), so each offset moves
with the media. The media themselves are not copied: the result is a list of pieces to send, in order.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from talkup_client.boxes import MAX_MOOV_BYTES, Box, boxes
from talkup_client.errors import UnsupportedFileError

_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
"""The boxes on the way to the tables of offsets."""

_TABLES = {b"stco": "I", b"co64": "Q"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to send: `data`, or else those of the file from `start` to `end`."""

    start: int
    end: int
    data: bytes = b""


def index_first(file: BinaryIO, size: int, name: str) -> tuple[Piece, ...]:
    """The pieces of an MP4 in an order that can be streamed; none if the file is in such an order.

    Holds only the index in memory, a few times over. Raises UnsupportedFileError for a file without an index, or with
    one that is damaged, compressed, or larger than MAX_MOOV_BYTES.
    """
    front, moov, has_media = _layout(file, size)
    if moov is None:
        if has_media:
            raise UnsupportedFileError(f"{name} has no index (moov box): its recorder did not finish the file")
        raise UnsupportedFileError(f"{name} holds no media: it is damaged, or not a recording")
    if not has_media:
        return ()
    whole = moov.end - moov.header
    if whole > MAX_MOOV_BYTES:
        raise UnsupportedFileError(f"the index of {name} is larger than {MAX_MOOV_BYTES >> 20} MiB")
    file.seek(moov.header)
    box = file.read(whole)
    try:
        moved = _moved(box, _Move(front, moov.header, moov.end, size))
    except _DamagedIndexError as error:
        raise UnsupportedFileError(f"the index of {name} cannot be used: {error}") from None
    pieces = (Piece(0, front), Piece(0, 0, moved), Piece(front, moov.header), Piece(moov.end, size))
    return tuple(piece for piece in pieces if piece.data or piece.end > piece.start)


def _layout(file: BinaryIO, size: int) -> tuple[int, Box | None, bool]:
    """The end of the file type box, the index, and whether media stand before the index."""
    front, has_media = 0, False
    for box in boxes(file, 0, size):
        if box.kind == b"ftyp" and not box.header:
            front = box.end
        elif box.kind == b"moov":
            return front, box, has_media
        elif box.kind == b"moof":
            return front, None, has_media
        has_media |= box.kind == b"mdat"
    return front, None, has_media


class _DamagedIndexError(Exception):
    """An index that cannot be moved; the message says why."""


@dataclass(frozen=True, slots=True)
class _Move:
    """The index from `start` to `end` moves to offset `front` of a file of `size` bytes."""

    front: int
    start: int
    end: int
    size: int

    def new_offset(self, offset: int, length: int) -> int:
        """Where a byte of media is once the moved index has `length` bytes. Raises _DamagedIndexError."""
        if self.front <= offset < self.start:
            return offset + length
        if self.end <= offset <= self.size:
            return offset + length - (self.end - self.start)
        raise _DamagedIndexError("it names media outside of the file: the file is damaged or cut short")


def _moved(moov: bytes, move: _Move) -> bytes:
    """The index with the offsets that hold after the move. Raises _DamagedIndexError."""
    try:
        return _settled(moov, move, wide=False)
    except OverflowError:  # an offset no longer fits into 32 bits
        return _settled(moov, move, wide=True)


def _settled(moov: bytes, move: _Move, *, wide: bool) -> bytes:
    """The index, rewritten once more if its own length changed: the offsets depend on it."""
    moved = _rewritten(moov, move, len(moov), wide=wide)
    return moved if len(moved) == len(moov) else _rewritten(moov, move, len(moved), wide=wide)


def _rewritten(moov: bytes, move: _Move, length: int, *, wide: bool) -> bytes:
    """The index, which is to be `length` bytes long. `wide`: with offsets of 64 bits.

    Raises _DamagedIndexError, and OverflowError when an offset does not fit.
    """
    tables = 0

    def rewrite(data: memoryview, depth: int) -> Iterator[bytes]:
        nonlocal tables
        for kind, head, box in _children(data):
            if kind in _PATH[depth : depth + 1]:
                content = b"".join(rewrite(box[head:], depth + 1))
                yield struct.pack(">I4s", 8 + len(content), kind) + content
            elif kind in _TABLES and depth == len(_PATH):
                tables += 1
                yield _table(kind, box[head:], move, length, wide=wide)
            elif kind == b"cmov":
                raise _DamagedIndexError("it is compressed")
            else:
                yield bytes(box)

    moved = b"".join(rewrite(memoryview(moov), 0))
    if not tables:
        raise _DamagedIndexError("it names no media")
    return moved


def _children(data: memoryview) -> Iterator[tuple[bytes, int, memoryview]]:
    """The boxes in the content of a box: type, size of the header, and the whole box. Raises _DamagedIndexError."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        if size < head or at + size > len(data):
            raise _DamagedIndexError("a box of it is larger than the box around it")
        yield kind, head, data[at : at + size]
        at += size
    if any(data[at:]):  # QuickTime ends some lists with zeros
        raise _DamagedIndexError("a box of it is cut short")


def _table(kind: bytes, content: memoryview, move: _Move, length: int, *, wide: bool) -> bytes:
    """A table with moved offsets, as a box. Raises _DamagedIndexError; OverflowError when an offset does not fit."""
    (count,) = struct.unpack_from(">I", content, 4) if len(content) >= 8 else (0,)
    offsets = array(_TABLES[kind])
    end = 8 + count * offsets.itemsize
    if end > len(content):
        raise _DamagedIndexError("a table of offsets is cut short")
    offsets.frombytes(content[8:end])
    if sys.byteorder == "little":
        offsets.byteswap()
    kind = b"co64" if wide else kind
    moved = array(_TABLES[kind], (move.new_offset(offset, length) for offset in offsets))
    if sys.byteorder == "little":
        moved.byteswap()
    written = moved.tobytes()
    return struct.pack(">I4s", 16 + len(written), kind) + bytes(content[:4]) + struct.pack(">I", count) + written
