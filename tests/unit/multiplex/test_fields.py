"""The fields of a batch: counted in every form in which they can come, and only as far as the bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import link_pb2

from multiplex.fields import has_too_many_fields
from multiplex.outbox import MAX_ENTRIES

FILLING = bytes(65_537)
EMPTY_ENTRY = b"\x0a\x00"
MEBIBYTE = 1 << 20


def entry_of(fields: bytes) -> bytes:
    """A batch of one entry with these fields."""
    size = len(fields)
    length = bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21])
    return b"\x0a" + length + fields


@pytest.mark.parametrize(
    "batch",
    [
        EMPTY_ENTRY * (MEBIBYTE // 2),
        b"\x0a\x02\x08\x01" * (MEBIBYTE // 4),
        entry_of(b"\x12\x00\x22\x00" * (MEBIBYTE // 4)),
        entry_of(b"\x08\x01" * (MEBIBYTE // 2)),
        b"\x78\x00" * (MEBIBYTE // 2),
        b"\x7d\x00\x00\x00\x00" * (MEBIBYTE // 4),
        b"\xfa\x7f\x00" * (MEBIBYTE // 3),
        b"\x0b\x0c" * (MEBIBYTE // 2),
    ],
    ids=["entries", "calls", "alternating", "repeated", "unknown", "fixed", "long-tags", "groups"],
)
def test_many_fields_are_too_many_wherever_they_are(batch: bytes) -> None:
    assert has_too_many_fields(batch)


@pytest.mark.parametrize("size", [0, 1, 100, 16_384])
def test_a_full_batch_of_honest_entries_passes(size: int) -> None:
    entries = [link_pb2.TaskEntry(call=2**32 - 1, request=bytes(size))] * min(MAX_ENTRIES, 4 * MEBIBYTE // (size + 1))
    assert not has_too_many_fields(link_pb2.TaskBatch(entries=entries).SerializeToString())


@given(st.binary(max_size=200), st.integers(0, 3))
def test_what_a_message_holds_is_not_looked_at(message: bytes, entries: int) -> None:
    filled = link_pb2.TaskEntry(call=1, request=message + EMPTY_ENTRY * MEBIBYTE)
    assert not has_too_many_fields(link_pb2.TaskBatch(entries=[filled] * entries).SerializeToString())


@given(st.binary(max_size=100))
def test_a_batch_that_cannot_be_parsed_is_counted_up_to_its_fault(fault: bytes) -> None:
    assert has_too_many_fields(EMPTY_ENTRY * (4 * MAX_ENTRIES + 1) + FILLING + fault)
    assert not has_too_many_fields(b"\xff" * 65_537 + fault)
