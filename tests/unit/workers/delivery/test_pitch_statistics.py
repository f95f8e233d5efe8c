"""Median, range and spread of pitch: those of the true contour, whatever is joined, and robust against octaves."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.delivery.sounds import contour, hops_of, voice
from workers.delivery.pitch_statistics import LEAST_HOPS, LEAST_SPREAD_HOPS, PitchCounts

ALL = np.ones(5, np.bool_)


def counted(f0: np.ndarray) -> PitchCounts:
    counts = PitchCounts()
    for begin in range(0, len(f0) - 4, 5):
        counts.add(np.asarray(f0[begin : begin + 5], np.float32), ALL)
    return counts


@pytest.mark.parametrize("base", [90, 150, 240])
@pytest.mark.parametrize("semitones", [1.0, 3.0])
def test_a_known_contour(base: float, semitones: float) -> None:
    f0 = contour(base, 10, semitones)
    truth = 12 * np.log2(f0 / base)
    found = counted(hops_of(voice(f0)).f0).pitch()
    assert found is not None
    assert 12 * np.log2(found.median / base) == pytest.approx(np.median(truth), abs=0.2)
    assert found.range == pytest.approx(np.subtract(*np.percentile(truth, [95, 5])), abs=0.3)
    assert found.spread == pytest.approx(truth.std(), abs=0.15)


def test_errors_of_an_octave_hardly_count() -> None:
    rng = np.random.default_rng(2)
    f0 = 120 * 2 ** (rng.normal(0, 2, 2000).repeat(5) / 12)
    wrong = f0.copy()
    wrong[100:200] *= 2
    wrong[400:500] /= 2
    right, found = counted(f0).pitch(), counted(wrong).pitch()
    assert right is not None
    assert found is not None
    assert found.confidence == pytest.approx(0.98, abs=0.005)
    assert found.median == pytest.approx(right.median, rel=0.01)
    assert found.spread == pytest.approx(right.spread, abs=0.1)


def test_lone_values_and_what_is_no_speech_do_not_count() -> None:
    counts = PitchCounts()
    counts.add(np.array([120, np.nan, 240, 120, np.nan], np.float32), ALL)
    assert counts.hops == 0
    counts.add(np.full(5, 120, np.float32), np.array([True, True, False, False, True]))
    assert counts.hops == 2
    counts.add(np.full(5, np.nan, np.float32), ALL)
    assert counts.hops == 2


def test_too_little_is_not_measured() -> None:
    assert PitchCounts().pitch() is None
    assert counted(np.full(LEAST_HOPS - 5, 120)).pitch() is None
    short = counted(np.full(LEAST_HOPS, 120)).pitch()
    assert short is not None
    assert short.median == pytest.approx(120, rel=0.003)
    assert short.range is short.spread is None
    long = counted(np.full(LEAST_SPREAD_HOPS, 120)).pitch()
    assert long is not None
    assert long.spread == 0
    assert long.range == pytest.approx(0.09)


blocks = st.lists(st.lists(st.floats(60, 500, width=32) | st.just(float("nan")), min_size=5, max_size=5), max_size=60)


@given(blocks, blocks)
def test_stretches_add_up(first: list[list[float]], second: list[list[float]]) -> None:
    """Also through the bytes of a state."""
    both = counted(np.array(first + second).ravel())
    joined = msgspec.msgpack.decode(msgspec.msgpack.encode(counted(np.array(first).ravel())), type=PitchCounts)
    joined.join(counted(np.array(second).ravel()))
    assert joined.counts == both.counts
    assert joined.pitch() == both.pitch()
