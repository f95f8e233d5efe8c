"""The clock of a process that may be suspended: running time counts, suspensions do not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.clock import MAX_STEP, AwakeClock


def read(*steps: float) -> list[float]:
    times = iter([0.0, *(sum(steps[: n + 1]) for n in range(len(steps)))])
    clock = AwakeClock(lambda: next(times))
    return [clock() for _ in steps]


def test_running_time_is_counted() -> None:
    assert read(0.25, 0.5, 1.0) == [0.25, 0.75, 1.75]


def test_a_suspension_counts_as_one_step() -> None:
    assert read(0.5, 3600.0, 0.5) == [0.5, 0.5 + MAX_STEP, 1.0 + MAX_STEP]


@given(st.lists(st.floats(-10, 1e6, allow_nan=False), max_size=20))
def test_it_never_runs_backwards_or_faster_than_its_source(steps: list[float]) -> None:
    readings = read(*steps)
    assert readings == sorted(readings)
    assert all(reading <= MAX_STEP * (n + 1) for n, reading in enumerate(readings))
