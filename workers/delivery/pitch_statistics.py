"""What the fundamental frequencies of a stretch of speech say: median, range and spread, in semitones.

They are counted in steps of 0.1 semitone, so that an hour takes no more room than a minute, and the counts of two
stretches add up to those of both.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

LEAST_HOPS: Final = 50
"""Voiced hops from which the median is given: 1 s."""

LEAST_SPREAD_HOPS: Final = 150
"""Voiced hops from which range and spread are given: 3 s."""

_STEPS: Final = 10
"""Steps of a semitone."""

_BASE_HZ: Final = 55.0
_NEIGHBOUR_SEMITONES: Final = 2.5
_FAR_SEMITONES: Final = 9.0
"""From the median: what is farther is taken for an error of an octave, 12 semitones off."""


class Pitch(msgspec.Struct, frozen=True):
    """`median`, Hz; distance of the 5th and the 95th percentile and standard deviation, semitones, if there is enough.

    `confidence`, 0 to 1: the part of the voiced hops that is no error of an octave.
    """

    median: float
    range: float | None
    spread: float | None
    confidence: float


class PitchCounts(msgspec.Struct, array_like=True):
    """How many hops have which pitch: keys are tenths of a semitone above 55 Hz."""

    counts: dict[int, int] = {}

    @property
    def hops(self) -> int:
        """Voiced hops counted."""
        return sum(self.counts.values())

    def add(self, f0: NDArray[np.float32], speech: NDArray[np.bool_]) -> None:
        """Take a block's F0 (Hz, not a number where unvoiced); `speech` says which of its hops are speech.

        A hop counts if a neighbour in the block has nearly the same pitch: lone values are noise.
        """
        semitones = 12 * np.log2(np.where(speech, f0, np.nan).astype(np.float64) / _BASE_HZ)
        close = np.abs(np.diff(semitones)) <= _NEIGHBOUR_SEMITONES
        steady = np.concatenate([close, [False]]) | np.concatenate([[False], close])
        for value in semitones[steady].tolist():
            step = round(value * _STEPS)
            self.counts[step] = self.counts.get(step, 0) + 1

    def join(self, other: PitchCounts) -> None:
        """Take the hops of another stretch."""
        for step, count in other.counts.items():
            self.counts[step] = self.counts.get(step, 0) + count

    def pitch(self, least: int = LEAST_HOPS) -> Pitch | None:
        """None with fewer voiced hops than `least`."""
        hops = self.hops
        if hops < least:
            return None
        steps = np.array(sorted(self.counts))
        weights = np.array([self.counts[step] for step in steps.tolist()])
        median = _percentile(steps, weights, 0.5)
        kept = np.abs(steps - median) <= _FAR_SEMITONES * _STEPS
        near, counted = steps[kept], weights[kept]
        confidence = float(counted.sum() / hops)
        hertz = _BASE_HZ * 2 ** (median / _STEPS / 12)
        if hops < LEAST_SPREAD_HOPS:
            return Pitch(hertz, None, None, confidence)
        distance = _percentile(near, counted, 0.95) - _percentile(near, counted, 0.05)
        mean = float(np.average(near, weights=counted))
        variance = float(np.average((near - mean) ** 2, weights=counted))
        return Pitch(hertz, distance / _STEPS, math.sqrt(variance) / _STEPS, confidence)


def _percentile(steps: NDArray[np.int_], weights: NDArray[np.int_], share: float) -> float:
    """The step under which that share of the hops lies; within a step they are spread evenly."""
    sums = np.cumsum(weights)
    at = int(np.searchsorted(sums, share * sums[-1]))
    below = sums[at] - weights[at]
    return float(steps[at]) - 0.5 + float((share * sums[-1] - below) / weights[at])
