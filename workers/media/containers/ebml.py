"""Elements of EBML (RFC 8794), which Matroska and WebM are made of."""

from __future__ import annotations

import struct

from workers.media.containers.packet import DamagedError, Incomplete

_MAX_CHILDREN = 4_096

Bytes = bytes | bytearray


def element_id(data: Bytes, at: int) -> tuple[int, int]:
    """The element ID at `at`, marker bits included, and its length in bytes."""
    if at >= len(data):
        raise Incomplete
    length = 9 - data[at].bit_length()
    if length > 4:
        raise DamagedError("not an element ID")
    if at + length > len(data):
        raise Incomplete
    return int.from_bytes(data[at : at + length], "big"), length


def vint(data: Bytes, at: int) -> tuple[int | None, int]:
    """The variable-size integer at `at` (None: all ones, the unknown size), and its length in bytes."""
    if at >= len(data):
        raise Incomplete
    length = 9 - data[at].bit_length()
    if length > 8:
        raise DamagedError("not an element size")
    if at + length > len(data):
        raise Incomplete
    ones = (1 << (7 * length)) - 1
    value = int.from_bytes(data[at : at + length], "big") & ones
    return (None if value == ones else value), length


def children_of(data: bytes) -> list[tuple[int, bytes]]:
    """The child elements of a master element that is here whole."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if len(found) == _MAX_CHILDREN:
            raise DamagedError("an element has too many children")
        try:
            element, id_length = element_id(data, at)
            size, size_length = vint(data, at + id_length)
        except Incomplete as error:
            raise DamagedError("an element ends before its children do") from error
        at += id_length + size_length
        if size is None or at + size > len(data):
            raise DamagedError("a child is larger than its parent")
        found.append((element, data[at : at + size]))
        at += size
    return found


def unsigned(data: bytes) -> int:
    """The content of an unsigned integer; 0 where it is empty."""
    return int.from_bytes(data[:8], "big")


def floating(data: bytes, default: float) -> float:
    """The content of a float of 4 or 8 bytes."""
    if len(data) == 4:
        return float(struct.unpack(">f", data)[0])
    if len(data) == 8:
        return float(struct.unpack(">d", data)[0])
    return default
