"""Invariant: over any time, no more audio than burst + rate x time + one decoding is granted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.media.isolation.pacing import Pace


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 10)), max_size=60))
def test_the_grant_is_bounded(steps: list[tuple[float, float]]) -> None:
    pace, now, spent = Pace(rate=10, burst=30, now=5.0), 5.0, 0.0
    for seconds, idle in steps:
        now += idle + pace.delay(now + idle)
        assert spent <= 30 + 10 * (now - 5.0) + 1e-6
        pace.spend(seconds, now)
        spent += seconds


def test_live_audio_never_waits() -> None:
    pace = Pace(rate=2, burst=1, now=0.0)
    for step in range(1000):
        assert pace.delay(step * 0.1) == 0
        pace.spend(0.1, step * 0.1)


def test_a_bomb_waits_its_length() -> None:
    pace = Pace(rate=100, burst=600, now=0.0)
    pace.spend(1600, 0.0)
    assert pace.delay(0.0) == pytest.approx(10.0)
    assert pace.delay(10.0) == pytest.approx(0.0)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0)])
def test_a_pace_is_positive(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Pace(rate, burst, 0.0)
