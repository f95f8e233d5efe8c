"""The mailbox: bursts wait, under overload the newest wins, and every frame is counted exactly once, in order."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import task_pb2

from workers.vision.mailbox import MAX_WAITING, PATIENCE_SECONDS, Dropped, Mailbox

OVERLOAD = task_pb2.DROP_REASON_OVERLOAD
CORRUPT = task_pb2.DROP_REASON_CORRUPT


def test_a_newer_frame_takes_the_place_of_one_that_waits_when_frames_come_too_fast() -> None:
    box: Mailbox[int] = Mailbox()
    box.put([1], now=10.0)
    box.put([2], now=10.0 + PATIENCE_SECONDS + 0.1)
    assert box.pop_frame() == (2, Counter({OVERLOAD: 1}))
    assert box.pop_frame() == (None, Counter())


def test_frames_that_come_in_a_burst_wait_for_each_other() -> None:
    box: Mailbox[int] = Mailbox()
    for number in range(4):
        box.put([number], now=10.0)
    assert [box.pop_frame() for _ in range(4)] == [(number, Counter()) for number in range(4)]


def test_the_oldest_of_too_many_frames_are_dropped() -> None:
    box: Mailbox[int] = Mailbox()
    for number in range(MAX_WAITING + 3):
        box.put([number], now=10.0)
    assert box.pop_frame() == (2, Counter({OVERLOAD: 2}))
    assert box.waiting == MAX_WAITING


def test_none_is_dropped_where_all_are_wanted() -> None:
    box: Mailbox[int] = Mailbox(keep_all=True)
    for number in range(100):
        box.put([number], now=float(number))
    assert [box.pop_frame() for _ in range(100)] == [(number, Counter()) for number in range(100)]


@dataclass(frozen=True)
class Camera:
    """`burst` frames at once, `fps` a second on average; analysing one takes `cost` seconds, the first one `first`."""

    fps: float
    cost: float
    burst: int = 1
    first: float = 0.0
    seconds: int = 20

    def play(self) -> tuple[int, int, list[float]]:
        """Frames that came, frames dropped, and how old each analysed one was when its result was there, seconds."""
        box: Mailbox[float] = Mailbox()
        total = int(self.fps * self.seconds)
        arrivals = deque((number // self.burst * self.burst) / self.fps for number in range(total))
        now, dropped, ages, cost = 0.0, 0, list[float](), self.first or self.cost
        while arrivals or not box.empty:
            while arrivals and arrivals[0] <= now:
                box.put([arrivals[0]], arrivals.popleft())
            if box.empty:
                box.found_empty()
                now = arrivals[0]
                continue
            frame, drops = box.pop_frame()
            dropped += drops.total()
            if frame is not None:
                now, cost = now + cost, self.cost
                ages.append(now - frame)
        assert len(ages) + dropped == total
        return total, dropped, ages


@pytest.mark.parametrize(
    "camera",
    [
        Camera(fps=5, cost=0.19),
        Camera(fps=5, cost=0.15, burst=3),
        Camera(fps=5, cost=0.15, burst=5),
        Camera(fps=15, cost=0.05, burst=4),
        Camera(fps=5, cost=0.1, first=0.6),
        Camera(fps=15, cost=0.04, first=0.4),
    ],
)
def test_a_camera_that_the_analysis_keeps_up_with_loses_no_frame(camera: Camera) -> None:
    """Whatever the burst and however long the first frame takes, with a slow processor too."""
    assert camera.play()[1] == 0


@pytest.mark.parametrize("times", [1.2, 2.0, 4.0])
def test_under_overload_results_stay_new_and_no_more_is_dropped_than_must_be(times: float) -> None:
    camera = Camera(fps=15, cost=times / 15)
    total, dropped, ages = camera.play()
    assert dropped <= (1 - 1 / times) * total + 1
    settled = sorted(ages[len(ages) // 10 :])
    assert settled[int(0.95 * len(settled))] <= 1 / 15 + camera.cost


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
        box.put(entries, now=0.2 * number)
        if read:
            frame, drops = box.pop_frame()
            counted += drops.total() + (frame is not None)
            if frame is not None:
                assert counted == frame + 1
    while not box.empty:
        frame, drops = box.pop_frame()
        counted += drops.total() + (frame is not None)
    assert counted == number
