"""Pitch on voices whose pitch is known at every sample."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.delivery.sounds import RATE, VOWELS, Floats, contour, hops_of, noise, voice
from workers.delivery import pitch
from workers.delivery.acoustics import HOP

BASES = (80, 110, 150, 200, 260, 340)


def true_f0(f0: np.ndarray, hops: int) -> np.ndarray:
    """At the middle of each hop's frame, which ends with the hop."""
    middles = (np.arange(hops) + 1) * HOP - pitch.FRAME // 2
    return np.asarray(f0[np.maximum(middles, 0)])


def compare(sound: Floats, f0: np.ndarray) -> tuple[float, float, float]:
    """Share of voiced hops found, share of gross errors (20 %) among them, error of the median in semitones."""
    found = hops_of(sound).f0[5:]
    truth = true_f0(f0, len(found) + 5)[5:]
    voiced = np.isfinite(found)
    ratio = found[voiced] / truth[voiced]
    median = 12 * np.log2(np.median(found[voiced]) / np.median(truth))
    return float(voiced.mean()), float((np.abs(ratio - 1) > 0.2).mean()), float(median)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("vowel", VOWELS)
def test_synthetic_voices(base: float, vowel: tuple[float, ...]) -> None:
    f0 = contour(base, 3)
    found, gross, median = compare(voice(f0, vowel) + noise(3, 0.0005), f0)
    assert found > 0.97
    assert gross <= 0.01
    assert abs(median) < 0.2


@pytest.mark.parametrize("base", BASES)
def test_in_mild_noise(base: float) -> None:
    f0 = contour(base, 3)
    found, gross, median = compare(voice(f0) + noise(3, 0.01), f0)
    assert found > 0.9
    assert gross <= 0.03
    assert abs(median) < 0.5


def test_the_first_harmonic_may_be_missing() -> None:
    """A telephone passes nothing under 300 Hz; the pitch of a voice of 120 Hz is still 120 Hz."""
    f0 = contour(120, 3, 1)
    spectrum = np.fft.rfft(voice(f0, VOWELS[3]))
    spectrum[np.fft.rfftfreq(3 * RATE, 1 / RATE) < 300] = 0
    _, gross, median = compare(np.fft.irfft(spectrum).astype(np.float32), f0)
    assert gross <= 0.03
    assert abs(median) < 0.2


@pytest.mark.parametrize("sound", [noise(3, 0.1), noise(3, 1e-6), np.zeros(3 * RATE, np.float32)])
def test_noise_has_no_pitch(sound: Floats) -> None:
    assert np.isfinite(hops_of(sound).f0).mean() < 0.02


@pytest.mark.parametrize("hertz", [50, 60])
def test_mains_hum_is_no_voice(hertz: int) -> None:
    time = np.arange(3 * RATE) / RATE
    hum = (0.05 * np.sin(2 * np.pi * hertz * time)).astype(np.float32) + noise(3, 0.002)
    assert np.isfinite(hops_of(hum).f0[5:]).mean() < 0.05


@pytest.mark.parametrize("hertz", [120.0, 220.0, pitch.HIGHEST_HZ - 5])
def test_a_steady_tone_to_a_tenth_of_a_semitone(hertz: float) -> None:
    tone = (0.1 * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)
    found = hops_of(tone)
    assert (np.abs(12 * np.log2(found.f0[5:] / hertz)) < 0.1).all()
    assert (found.periodicity[5:] > 0.95).all()


def test_values_are_within_their_bounds() -> None:
    rng = np.random.default_rng(5)
    frames = rng.normal(0, rng.choice([1e-9, 1e-3, 1.0, 100.0], size=(40, 1)), (40, pitch.FRAME))
    f0, periodicity = pitch.fundamental(frames)
    assert ((periodicity >= 0) & (periodicity <= 1)).all()
    known = f0[np.isfinite(f0)]
    assert ((known >= pitch.LOWEST_HZ) & (known <= pitch.HIGHEST_HZ)).all()
