"""Slots follow what steps cost: soon enough, never back and forth."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from workers.capacity import Capacity, MeasuringTimes, SlotsChange, Source

IDLE = 0.1
"""Seconds of a step on the idle machine, where ten streams fit."""


def streams(cost: float) -> float:
    return 1.05 / cost


def run(capacity: Capacity, costs: Iterable[float], start: float, every: float = 1.0) -> list[SlotsChange]:
    """One step each `every` seconds, and a review after each."""
    changes = []
    for number, cost in enumerate(costs):
        now = start + number * every
        capacity.add_step(cost, now)
        change = capacity.review(now)
        if change is not None:
            changes.append(change)
    return changes


def rest(capacity: Capacity, seconds: int, start: float) -> list[SlotsChange]:
    """Reviews without steps."""
    found = (capacity.review(start + second) for second in range(seconds))
    return [change for change in found if change is not None]


def test_it_starts_with_what_was_measured() -> None:
    assert Capacity(streams, IDLE).slots == 10
    assert Capacity(streams, 100.0).slots == 1


def test_steady_steps_change_nothing() -> None:
    capacity = Capacity(streams, IDLE)
    assert run(capacity, [IDLE] * 300, 0.0) == []


def test_a_machine_that_becomes_busy_loses_slots_and_gets_them_back() -> None:
    capacity = Capacity(streams, IDLE)
    lost = run(capacity, [2 * IDLE] * 90, 0.0)
    assert [(c.before, c.slots, c.source) for c in lost] == [(10, 5, Source.STEPS)]
    assert (lost[0].cost, lost[0].cost_before) == (2 * IDLE, IDLE)
    back = run(capacity, [IDLE] * 120, 90.0)
    assert capacity.slots == back[-1].slots == 10


def test_steps_a_little_cheaper_than_the_benchmark_confirm_it() -> None:
    capacity = Capacity(streams, IDLE)
    assert run(capacity, [0.8 * IDLE] * 300, 0.0) == []
    assert capacity.cost(300.0) == (IDLE, Source.STEPS)


def test_much_cheaper_steps_show_that_the_start_was_slow() -> None:
    """A worker that is never idle gets its slots back too."""
    capacity = Capacity(streams, 4 * IDLE)
    assert capacity.slots == 2
    [change] = run(capacity, [IDLE] * 90, 0.0)
    assert (change.before, change.slots) == (2, int(streams(IDLE / 0.78)))


def test_a_start_on_a_busy_machine_is_forgotten_once_the_idle_worker_measures() -> None:
    capacity = Capacity(streams, 4 * IDLE)
    assert capacity.slots == 2
    assert rest(capacity, 60, 0.0) == []
    capacity.add_measurement(IDLE)
    assert [(c.slots, c.source) for c in rest(capacity, 40, 60.0)] == [(10, Source.IDLE)]


def test_a_burst_of_slow_steps_is_not_the_machine() -> None:
    capacity = Capacity(streams, IDLE)
    mixed = itertools.chain.from_iterable(itertools.repeat((IDLE, 5 * IDLE, 3 * IDLE), 100))
    assert run(capacity, mixed, 0.0, every=0.2) == []


def test_a_few_steps_say_nothing() -> None:
    capacity = Capacity(streams, IDLE)
    assert run(capacity, [9 * IDLE] * 11, 0.0) == []
    assert rest(capacity, 120, 11.0) == []


def test_what_was_known_stays_while_nothing_runs() -> None:
    capacity = Capacity(streams, IDLE)
    run(capacity, [2 * IDLE] * 90, 0.0)
    assert rest(capacity, 3_600, 90.0) == []
    assert capacity.slots == 5


def test_one_unsteady_measurement_changes_nothing() -> None:
    capacity = Capacity(streams, IDLE)
    rest(capacity, 60, 0.0)
    capacity.add_measurement(3 * IDLE)
    assert rest(capacity, 10, 60.0) == []
    capacity.add_measurement(IDLE)
    assert rest(capacity, 600, 70.0) == []


def test_an_estimate_that_swings_around_a_whole_number_changes_nothing() -> None:
    capacity = Capacity(streams, 1.05 / 10.2)
    for second in range(600):
        capacity.add_measurement(1.05 / (9.7 if second % 14 < 7 else 10.3))
        assert capacity.review(float(second)) is None


@given(st.lists(st.floats(0.2, 5.0), min_size=40, max_size=200))
def test_slots_stay_among_what_the_costs_allow(stretches: list[float]) -> None:
    capacity = Capacity(streams, IDLE)
    run(capacity, [IDLE * stretch for stretch in stretches], 0.0)
    allowed = [10, *(max(1, int(streams(IDLE * stretch))) for stretch in stretches)]
    assert min(allowed) <= capacity.slots <= max(allowed)


@given(st.lists(st.floats(0.2, 5.0), min_size=40, max_size=200))
def test_slots_change_at_most_once_in_the_time_they_are_held(stretches: list[float]) -> None:
    """A change back needs 20 s in which the estimate allowed it throughout."""
    capacity = Capacity(streams, IDLE)
    turns: list[tuple[float, bool]] = []
    for second, stretch in enumerate(stretches):
        capacity.add_step(IDLE * stretch, float(second))
        change = capacity.review(float(second))
        if change is not None:
            turns.append((float(second), change.slots > change.before))
    for (before, up), (after, also_up) in itertools.pairwise(turns):
        assert up == also_up or after - before >= 20


def test_an_idle_worker_measures_rarely_unless_something_changed() -> None:
    times = MeasuringTimes(0.0)
    pauses, now = [], 0.0
    for cost in (IDLE, IDLE, IDLE, IDLE, 2 * IDLE, IDLE):
        began = now
        while not times.due(now):
            now += 1.0
        pauses.append(now - began)
        times.began(now)
        times.found(cost, IDLE)
    assert pauses == [10, 20, 40, 60, 60, 10]


def test_a_measurement_that_takes_long_is_rarer() -> None:
    times = MeasuringTimes(0.0)
    times.began(10.0)
    times.ended(14.0)
    times.found(2 * IDLE, IDLE)
    assert not times.due(10.0 + 119)
    assert times.due(10.0 + 120)
