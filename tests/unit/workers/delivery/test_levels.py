"""The end of a sentence against its middle, where both were made."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.delivery.sounds import contour, hops_of, voice
from workers.delivery.levels import LEAST_HOPS, TRAILING_LU, ending


def sentence(fall_db: float, gain_db: float = 0.0) -> np.ndarray:
    """Three thirds of a second of a voice, the last one softer."""
    sound = voice(contour(140, 3, 0.5))
    sound[32_000:] *= np.float32(10 ** (fall_db / 20))
    return np.asarray(hops_of(sound * np.float32(10 ** (gain_db / 20))).power)


@pytest.mark.parametrize("fall", [-15.0, -8.0, -4.0, 0.0, 3.0])
@pytest.mark.parametrize("gain", [-12.0, 0.0, 6.0])
def test_a_made_fall_is_found(fall: float, gain: float) -> None:
    power = sentence(fall, gain)
    found = ending(power, np.ones(len(power), np.bool_))
    assert found is not None
    assert found.fall == pytest.approx(fall, abs=0.5)
    assert found.trailing == (fall <= TRAILING_LU)


def test_only_speech_counts() -> None:
    """A pause in the sentence, and silence behind it, change nothing."""
    power = sentence(-8)
    cut = len(power) // 2
    silence = np.full(40, 1e-9)
    longer = np.concatenate([power[:cut], silence, power[cut:], silence])
    speech = np.concatenate(
        [np.full(cut, True), np.full(40, False), np.full(len(power) - cut, True), np.full(40, False)]
    )
    assert ending(longer, speech) == ending(power, np.ones(len(power), np.bool_))


def test_too_little_is_not_measured() -> None:
    power = np.full(LEAST_HOPS, 0.01)
    assert ending(power, np.ones(LEAST_HOPS, np.bool_)) is not None
    assert ending(power[:-1], np.ones(LEAST_HOPS - 1, np.bool_)) is None
    assert ending(power, np.zeros(LEAST_HOPS, np.bool_)) is None
    assert ending(np.zeros(LEAST_HOPS), np.ones(LEAST_HOPS, np.bool_)) is None
    assert ending(np.full(LEAST_HOPS, 1e-9), np.ones(LEAST_HOPS, np.bool_)) is None
