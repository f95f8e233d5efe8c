"""How long the gateway waits for a body that comes slowly."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.body import Patience

PAUSE_S = 10.0
RATE = 500.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def wait(patience: Patience, clock: Clock, seconds: float, size: int) -> None:
    """Bytes arrive after a wait."""
    async with patience.waiting():
        clock.now += seconds
    patience.received(size)


async def test_a_byte_every_nine_seconds_is_soon_too_slow() -> None:
    clock = Clock()
    patience = Patience(PAUSE_S, RATE, clock)
    await wait(patience, clock, 9.0, 1)
    assert patience.left_s == pytest.approx(1.002)


async def test_once_it_is_used_up_waiting_ends() -> None:
    clock = Clock()
    patience = Patience(PAUSE_S, RATE, clock)
    await wait(patience, clock, PAUSE_S, 0)
    with pytest.raises(TimeoutError):
        async with patience.waiting():
            await asyncio.Event().wait()
    patience.received(1_000_000)
    assert patience.left_s == PAUSE_S  # and no more, however much comes at once


async def test_only_waiting_counts() -> None:
    clock = Clock()
    patience = Patience(PAUSE_S, RATE, clock)
    for _ in range(100):
        clock.now += 1000.0  # workers are behind, and nobody reads
        await wait(patience, clock, 0.001, 1)
    assert patience.left_s > PAUSE_S - 0.2


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, 70_000)), max_size=50))
async def test_all_waiting_together_is_bounded_by_the_bytes(arrivals: list[tuple[float, int]]) -> None:
    """However a client spreads its bytes, it gets the longest pause, and a second for every `RATE` bytes."""
    clock = Clock()
    patience = Patience(PAUSE_S, RATE, clock)
    waited, received = 0.0, 0
    for seconds, size in arrivals:
        if seconds >= patience.left_s:
            break
        await wait(patience, clock, seconds, size)
        waited, received = waited + seconds, received + size
        assert waited <= PAUSE_S + received / RATE + 1e-6


@given(st.lists(st.floats(0, PAUSE_S - 0.01), min_size=1, max_size=50))
async def test_a_body_at_the_pace_is_never_refused(pauses: list[float]) -> None:
    clock = Clock()
    patience = Patience(PAUSE_S, RATE, clock)
    for seconds in pauses:
        assert seconds < patience.left_s
        await wait(patience, clock, seconds, int(seconds * RATE) + 1)
