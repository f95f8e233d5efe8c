"""Counts the fields of a serialised message before anything parses it, so that a hostile one costs little.

A field takes two bytes of a message and up to 100 bytes of memory once it is parsed: 4 MiB of nothing else take up to
150 ms and 192 MiB (measured). An honest message has few fields for its size, because its bytes are media and text.
"""

from __future__ import annotations

from typing import Final, TypeAlias, cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from multiplex.outbox import MAX_ENTRIES

Messages: TypeAlias = "dict[int, Messages]"
"""The fields of a message that hold messages, by number, each with those of its own."""

_SMALL: Final = 65_536
"""Bytes of a message that is parsed without counting: 2.5 ms and 3 MiB at most."""

_FIELDS_OF_AN_ENTRY: Final = 4
"""Fields counted for an entry: itself, its call, its message, and one more that a later version may add."""

MAX_BATCH_FIELDS: Final = MAX_ENTRIES * _FIELDS_OF_AN_ENTRY
BATCH_LEVELS: Final = 2
"""The fields of a batch and those of its entries: what entries hold repeats nothing."""

_ALL_LEVELS: Final = 32
_LONGEST_VARINT: Final = 10
_MORE: Final = 0x80
"""The bit of a varint's bytes that says that another one follows."""

_VARINT: Final = 0
_LENGTH_PREFIXED: Final = 2
_FIXED_SIZES: Final = {1: 8, 5: 4}
"""Bytes of values by wire type (protobuf's encoding)."""
_GROUPS: Final = (3, 4)
"""The wire types of groups, which proto3 does not have."""


class FieldBound:
    """The most fields that a serialised message of one type may have, with those of the messages in it.

    A message with a group has too many: what a parser skips in one cannot be told from fields without parsing it.
    """

    def __init__(self, message: type[Message], most: int, levels: int = _ALL_LEVELS) -> None:
        """`levels`: how deep fields are counted; 1: those of the message alone."""
        self.most = most
        self._messages = _messages_in(cast(Descriptor, message.DESCRIPTOR), levels)

    def is_exceeded(self, data: bytes) -> bool:
        """Whether a message of more than 65,536 bytes has too many fields; looks at no more than the bound.

        A message that cannot be parsed has the fields before its fault.
        """
        if len(data) <= _SMALL:
            return False
        try:
            return _has_more(data, self._messages, self.most)
        except IndexError:  # it ends within a field, so that it cannot be parsed
            return False


def _messages_in(message: Descriptor, levels: int) -> Messages:
    if levels <= 1:
        return {}
    inner = ((field.number, field.message_type) for field in message.fields)
    return {number: _messages_in(kind, levels - 1) for number, kind in inner if kind is not None}


def _has_more(data: bytes, messages: Messages, bound: int) -> bool:
    """One pass, into the messages that a parser would enter and past all other values."""
    at, end, count = 0, len(data), 0
    outer: list[tuple[int, Messages]] = []
    while True:
        while at >= end:
            if at > end or not outer:  # beyond the message that it belongs to: nothing parses that
                return False
            end, messages = outer.pop()
        count += 1
        if count > bound:
            return True
        tag = data[at]
        at += 1
        if tag & _MORE:
            tag, at = _varint(data, at - 1)
        kind = tag & 7
        if kind == _LENGTH_PREFIXED:
            size = data[at]
            at += 1
            if size & _MORE:
                size, at = _varint(data, at - 1)
            inner = messages.get(tag >> 3)
            if inner is None:
                at += size
            else:
                outer.append((end, messages))
                if at + size > end:
                    return False
                end, messages = at + size, inner
        elif kind == _VARINT:
            at = _varint(data, at)[1] if data[at] & _MORE else at + 1
        elif kind in _FIXED_SIZES:
            at += _FIXED_SIZES[kind]
        else:
            return kind in _GROUPS


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where it ends. Raises IndexError for one that does not end."""
    value = 0
    for shift in range(_LONGEST_VARINT):
        byte = data[at + shift]
        value |= (byte & ~_MORE) << (7 * shift)
        if not byte & _MORE:
            return value, at + shift + 1
    raise IndexError
