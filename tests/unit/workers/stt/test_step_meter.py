"""What a step costs, whatever its size: the time of a batch against the benchmark's estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.capacity import Source
from workers.stt.calibration import Calibration, streams_in_real_time
from workers.stt.config import SttConfig
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.step_cost import StepCosts, Work
from workers.stt.step_meter import StepMeter
from workers.stt.words import Word

COSTS = StepCosts(frames=800, tokens=24, encode={1: 0.05}, decode={1: 0.04, 2: 0.03, 4: 0.025}, align=0.01)
STEP = 0.05 + 0.025 + 0.01


def test_the_benchmarks_own_step_costs_what_was_measured() -> None:
    assert COSTS.of(Work(800, [24] * 4, 4), 1, 4) == pytest.approx(4 * STEP)


def test_longer_windows_and_texts_cost_more() -> None:
    assert COSTS.of(Work(1600, [24], 0), 1, 4) == pytest.approx(0.1 + 0.04)
    assert COSTS.of(Work(800, [48], 0), 1, 4) == pytest.approx(0.05 + 0.08)


def test_a_batch_is_as_long_as_its_longest_text() -> None:
    assert COSTS.of(Work(800, [24, 6], 0), 1, 4) == pytest.approx(0.1 + 2 * 0.03)


def test_between_measured_sizes_the_cost_lies_between() -> None:
    three = COSTS.of(Work(800, [24] * 3, 0), 1, 4) - 3 * 0.05
    assert 2 * 0.03 < three < 4 * 0.025


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 8))
def test_a_batch_is_cut_into_the_sizes_in_force(count: int, encode: int, decode: int) -> None:
    whole = COSTS.of(Work(800, [24] * count, count), encode, decode)
    assert count * STEP * 0.999 <= whole <= count * (0.05 + 0.04 + 0.01) * 1.001


@dataclass
class Model:
    """A model on a machine whose speed is known: it moves the clock by what its work takes, times `stretch`."""

    now: float = 0.0
    stretch: float = 1.0
    batches: tuple[int, int] = (1, 4)
    multilingual: bool = False

    def clock(self) -> float:
        return self.now

    def run(self, requests: Sequence[DecodeRequest]) -> list[Hypothesis]:
        tokens = 30
        work = Work(requests[0].encoder_frames, [tokens + 1] * len(requests), len(requests))
        self.now += self.stretch * COSTS.of(work, *self.batches)
        word = Word(" yes", 0, 8_000, 0.9)
        return [Hypothesis((word,), -0.1, 0.0, False, "en", tokens=tokens) for _ in requests]


def request(frames: int = 1_000, beam: int = 5) -> DecodeRequest:
    return DecodeRequest(np.zeros(16_000, np.float32), frames, beam, "en")


def meter(model: Model, **settings: float) -> StepMeter:
    config = SttConfig(model="toy", path=Path("toy"), **{"threads": 2, **settings})
    return StepMeter(model, config, Calibration(1, 4, STEP, 0, COSTS), clock=model.clock)


def speak(measured: StepMeter, model: Model, seconds: float, *, batch: int = 2, load: float = 0.0) -> None:
    """Steps of streams, one batch every half second, and reviews."""
    until = model.now + seconds
    while model.now < until:
        began = model.now
        measured.run([request()] * batch)
        model.now = began + 0.5
        measured.review(load)


def test_steps_of_any_size_on_an_unchanged_machine_keep_the_slots() -> None:
    model = Model()
    measured = meter(model)
    assert measured.capacity.slots == int(streams_in_real_time(STEP, 2, 1.5))
    before = measured.capacity.slots
    for batch in (1, 2, 3, 4):
        speak(measured, model, 60, batch=batch)
    assert (measured.capacity.slots, measured.capacity.cost(model.now)[1]) == (before, Source.STEPS)


def test_a_busy_machine_halves_the_slots_and_an_idle_one_restores_them() -> None:
    model = Model()
    measured = meter(model)
    before = measured.capacity.slots
    model.stretch = 2.0
    speak(measured, model, 120)
    assert measured.capacity.slots == pytest.approx(before / 2, abs=1)
    model.stretch = 1.0
    speak(measured, model, 120)
    assert measured.capacity.slots == before


def test_the_workers_own_load_is_not_counted_twice() -> None:
    model = Model(stretch=1.3)
    measured = meter(model)
    before = measured.capacity.slots
    speak(measured, model, 120, load=1.0)
    assert measured.capacity.slots == before


def test_steps_with_another_beam_do_not_count() -> None:
    model = Model(stretch=5.0)
    measured = meter(model)
    for _ in range(200):
        measured.run([request(beam=1)])
        measured.review(0.0)
    assert measured.capacity.cost(model.now) == (STEP, Source.START)


def test_a_quota_bounds_the_slots_whatever_the_threads_say() -> None:
    half = meter(Model(), threads=1, cores=0.5)
    assert half.capacity.slots == int(streams_in_real_time(STEP, 0.5, 1.5))


@pytest.mark.parametrize("cost", [1.9 * STEP, 2 * STEP, 2.15 * STEP])
def test_a_throttled_step_is_not_charged_twice(cost: float) -> None:
    """In half a core, a step takes twice its CPU time: the threads' time then gives the same number as the quota."""
    model = Model(stretch=2.0)
    half = meter(model, threads=1, cores=0.5)
    before = half.capacity.slots
    half.measured(cost, STEP)
    for _ in range(60):
        model.now += 1
        half.review(0.0)
    assert half.capacity.slots == before
