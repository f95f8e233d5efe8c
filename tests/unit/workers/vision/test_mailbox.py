"""The mailbox: frames of the newest chunk replace older ones, and every frame is counted exactly once, in order."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import task_pb2

from workers.vision.mailbox import Dropped, Mailbox

OVERLOAD = task_pb2.DROP_REASON_OVERLOAD
CORRUPT = task_pb2.DROP_REASON_CORRUPT


def test_a_newer_frame_takes_the_place_of_one_that_waits() -> None:
    box: Mailbox[int] = Mailbox()
    box.put([1])
    box.put([2])
    assert box.pop_frame() == (2, Counter({OVERLOAD: 1}))
    assert box.pop_frame() == (None, Counter())


def test_frames_of_one_chunk_wait_for_each_other() -> None:
    box: Mailbox[int] = Mailbox()
    box.put([1, Dropped(CORRUPT), 2])
    assert box.pop_frame() == (1, Counter())
    assert box.pop_frame() == (2, Counter({CORRUPT: 1}))


def test_a_corrupt_frame_displaces_no_good_one() -> None:
    box: Mailbox[int] = Mailbox()
    box.put([1])
    box.put([Dropped(CORRUPT)])
    assert box.pop_frame() == (1, Counter())
    assert box.pop_frame() == (None, Counter({CORRUPT: 1}))
    assert box.empty


chunks = st.lists(st.lists(st.booleans(), max_size=4), max_size=12)


@given(chunks, st.lists(st.booleans(), min_size=12, max_size=12))
def test_what_is_taken_counts_every_frame_before_it_once(batches: list[list[bool]], reads: list[bool]) -> None:
    box: Mailbox[int] = Mailbox()
    number = counted = 0
    for batch, read in zip(batches, reads, strict=False):
        entries: list[int | Dropped] = []
        for good in batch:
            entries.append(number if good else Dropped(CORRUPT))
            number += 1
        box.put(entries)
        if read:
            frame, drops = box.pop_frame()
            counted += drops.total() + (frame is not None)
            if frame is not None:
                assert counted == frame + 1
    while not box.empty:
        frame, drops = box.pop_frame()
        counted += drops.total() + (frame is not None)
    assert counted == number
