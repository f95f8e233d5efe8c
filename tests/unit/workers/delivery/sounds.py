"""Sounds of known pitch, loudness and pauses, made without any recording."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from workers.delivery import acoustics

RATE = acoustics.SAMPLE_RATE
Floats = NDArray[np.float32]

# Formants of five vowels, Hz, and their bandwidths (Peterson and Barney, 1952).
VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (500, 1500, 2500))
BANDWIDTHS = (80, 100, 140)


def contour(base: float, seconds: float, semitones: float = 3.0) -> NDArray[np.float64]:
    """F0 at each sample: slow and fast movement about `base` Hz."""
    time = np.arange(round(seconds * RATE)) / RATE
    moved = semitones * np.sin(2 * np.pi * 0.4 * time) + semitones / 2 * np.sin(2 * np.pi * 1.3 * time)
    return base * 2 ** (moved / 12)


def voice(f0: NDArray[np.float64], vowel: Sequence[float] = VOWELS[0]) -> Floats:
    """A vowel sung along `f0`: each harmonic with the level of a glottal pulse behind the formants."""
    phase = 2 * np.pi * np.cumsum(f0) / RATE
    sound = np.zeros(len(f0))
    for harmonic in range(1, int(4000 / f0.max()) + 1):
        frequency = harmonic * f0
        gain = 1 / harmonic
        for formant, bandwidth in zip(vowel, BANDWIDTHS, strict=True):
            gain = gain * formant**2 / np.hypot(formant**2 - frequency**2, bandwidth * frequency)
        sound += gain * np.sin(harmonic * phase)
    return (0.1 * sound / np.sqrt(np.mean(sound**2))).astype(np.float32)


def noise(seconds: float, amplitude: float, seed: int = 0) -> Floats:
    """White noise of a root mean square."""
    return np.random.default_rng(seed).normal(0, amplitude, round(seconds * RATE)).astype(np.float32)


def hops_of(sound: Floats) -> acoustics.Hops:
    """All hops of the sound's whole blocks."""
    padded = np.concatenate([np.zeros(acoustics.CONTEXT, np.float32), sound])
    state, hops = acoustics.AT_REST, []
    for begin in range(0, len(sound) - acoustics.BLOCK + 1, acoustics.BLOCK):
        heard, state = acoustics.analyse(padded[begin : begin + acoustics.CONTEXT + acoustics.BLOCK], state)
        hops.append(heard)
    return acoustics.Hops(
        np.concatenate([heard.power for heard in hops]),
        np.concatenate([heard.f0 for heard in hops]),
        np.concatenate([heard.periodicity for heard in hops]),
    )
