"""Ratios of neighbouring phases: a drift of the machine is no effect, noise gives no verdict, an effect is found."""

from __future__ import annotations

import random

import pytest

from bench.gateway.pairs import BROKEN, HELD, NO_VERDICT, ONE_CORE, Interval, compare, interval

_BLOCKS = 10
_SAMPLES = 400


def phases(effect: float, *, noise: float = 0.05, drift: float = 0.0) -> tuple[list[list[float]], list[list[float]]]:
    """Blocks of quiet, disturbed, disturbed, quiet; each phase has a level of its own, within `noise`."""
    rng = random.Random(1)
    quiet, disturbed = list[list[float]](), list[list[float]]()
    for number in range(4 * _BLOCKS):
        is_disturbed = number % 4 in (1, 2)
        level = (1 + drift * number) * rng.uniform(1 - noise, 1 + noise) * (effect if is_disturbed else 1.0)
        (disturbed if is_disturbed else quiet).append([level * rng.expovariate(1) for _ in range(_SAMPLES)])
    return quiet, disturbed


def test_nothing_but_noise_holds() -> None:
    found = compare(*phases(1.0))
    assert found.effect.low < 1.0 < found.effect.high
    assert found.floor.reach < 1.2
    assert found.verdict(1.2) == HELD


def test_an_effect_is_found_with_its_size() -> None:
    found = compare(*phases(1.5))
    assert found.effect.ratio == pytest.approx(1.5, abs=0.1)
    assert found.effect.low < found.effect.ratio < found.effect.high
    assert found.verdict(1.3) == BROKEN
    assert found.verdict(1.7) == HELD


def test_an_effect_near_the_bound_is_not_called_broken() -> None:
    found = compare(*phases(1.3))
    assert found.effect.low < 1.3 < found.effect.high
    assert found.verdict(1.3) == HELD


def test_a_drift_of_the_machine_is_no_effect() -> None:
    """Within a block, each kind of phase is once before and once after the other."""
    assert compare(*phases(1.0, drift=0.1)).effect.ratio == pytest.approx(1.0, abs=0.07)


def test_a_noisy_machine_gives_no_verdict_whatever_the_ratio() -> None:
    assert compare(*phases(2.0, noise=0.8)).verdict(1.1) == NO_VERDICT


def test_attackers_on_the_measured_core_give_no_verdict() -> None:
    assert compare(*phases(2.0)).verdict(1.3, are_apart=False) == ONE_CORE


def test_all_phases_have_as_many_samples_as_the_shortest() -> None:
    quiet, disturbed = [[1.0] * 10] * 4, [[1.0] * 10, [1.0] * 7 + [100.0] * 3, [1.0] * 10, [1.0] * 7]
    found = compare(quiet, disturbed)
    assert (found.samples, found.effect) == (7, Interval(1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("quiet", "disturbed"),
    [([[1.0]] * 4, [[1.0]] * 3), ([[1.0]] * 3, [[1.0]] * 3), ([[1.0], [], [1.0], [1.0]], [[1.0]] * 4)],
    ids=["unequal", "one block", "without samples"],
)
def test_what_cannot_be_compared_is_refused(quiet: list[list[float]], disturbed: list[list[float]]) -> None:
    with pytest.raises(AssertionError):
        compare(quiet, disturbed)


def test_the_interval_narrows_with_more_pairs() -> None:
    rng = random.Random(2)
    few, many = ([rng.gauss(1, 0.1) for _ in range(count)] for count in (8, 80))
    assert interval(few).high - interval(few).low > 1.5 * (interval(many).high - interval(many).low)
    assert Interval(0.8, 0.5, 1.2).reach == 2.0
