"""The outbox: nothing lost, nothing out of order, no batch too large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import link_pb2

from multiplex.outbox import MAX_ENTRIES, Outbox

MAX_BATCH = 65_536


def batches(outbox: Outbox[link_pb2.TaskEntry]) -> list[list[link_pb2.TaskEntry]]:
    taken = []
    while outbox:
        taken.append(outbox.take())
    return taken


@given(st.lists(st.integers(0, 2 * MAX_BATCH), max_size=30))
def test_batches_keep_the_order_and_stay_within_the_bound(sizes: list[int]) -> None:
    outbox: Outbox[link_pb2.TaskEntry] = Outbox(MAX_BATCH)
    entries = [link_pb2.TaskEntry(call=2**32 - 1 - n, request=bytes(size)) for n, size in enumerate(sizes)]
    for entry in entries:
        outbox.put(entry, len(entry.request))
    taken = batches(outbox)
    assert [entry for batch in taken for entry in batch] == entries
    for batch in taken:
        assert len(batch) == 1 or link_pb2.TaskBatch(entries=batch).ByteSize() <= MAX_BATCH
    assert not outbox.full


def test_small_entries_are_counted_as_well() -> None:
    outbox: Outbox[int] = Outbox(2**31)
    for number in range(MAX_ENTRIES + 1):
        outbox.put(number)
    assert [len(outbox.take()), len(outbox.take()), outbox.take()] == [MAX_ENTRIES, 1, []]


def test_messages_stop_at_a_bound_until_a_batch_is_taken() -> None:
    outbox: Outbox[int] = Outbox(2**31)
    count = 0
    while not outbox.full:
        outbox.put(count, 1000)
        count += 1
    assert 200 < count < 300
    outbox.take()
    assert not outbox.full
