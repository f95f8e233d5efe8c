"""Frames in metrics: each is counted once, even if a successor reports smaller numbers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import task_pb2

from gateway.sessions.frame_counter import FrameCounter


def flow(analyzed: int, overload: int = 0, stale: int = 0) -> task_pb2.Flow:
    drops = [
        task_pb2.DropCount(reason=task_pb2.DROP_REASON_OVERLOAD, count=overload),
        task_pb2.DropCount(reason=task_pb2.DROP_REASON_STALE, count=stale),
    ]
    return task_pb2.Flow(frames_analyzed=analyzed, dropped=drops)


def test_only_what_is_new_is_counted() -> None:
    counter = FrameCounter()
    assert counter.increments("a", flow(3, 1)) == Counter(analyzed=3, overload=1)
    assert counter.increments("a", flow(5, 1, 2)) == Counter(analyzed=2, stale=2)
    assert counter.increments("b", flow(4)) == Counter(analyzed=4)
    assert not counter.increments("a", flow(4, 1))


@given(st.lists(st.integers(0, 50), min_size=1))
def test_the_sum_is_the_largest_number_reported(numbers: list[int]) -> None:
    counter = FrameCounter()
    counted = sum(counter.increments("a", flow(number))["analyzed"] for number in numbers)
    assert counted == max(numbers)
