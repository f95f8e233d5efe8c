"""The pitch of voiced speech in bins of a tenth of a semitone: adds up over any time in little room. Pure."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

BINS_PER_SEMITONE: Final = 10
_LOWEST_HZ: Final = 60.0
"""Pitch of bin 0; `pitch.LOWEST_HZ`. At 500 Hz, the highest, it is bin 367."""


class PitchHistogram(msgspec.Struct, array_like=True):
    """How many hops had which pitch. `total` and `squares`: sums of their semitones above 60 Hz, for the spread."""

    counts: dict[int, int] = {}
    hops: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, hertz: NDArray[np.float32]) -> None:
        """Take voiced hops, none of which is not a number."""
        if not len(hertz):
            return
        semitones = 12 * np.log2(np.maximum(hertz.astype(np.float64) / _LOWEST_HZ, 1.0))
        for number in (semitones * BINS_PER_SEMITONE).astype(int).tolist():
            self.counts[number] = self.counts.get(number, 0) + 1
        self.hops += len(semitones)
        self.total += float(semitones.sum())
        self.squares += float(np.square(semitones).sum())

    def merge(self, other: PitchHistogram) -> None:
        """Take what another one counted."""
        for number, count in other.counts.items():
            self.counts[number] = self.counts.get(number, 0) + count
        self.hops += other.hops
        self.total += other.total
        self.squares += other.squares

    @property
    def median_hz(self) -> float:
        """Raises ValueError without any hop, as all below."""
        return _LOWEST_HZ * 2 ** (self.percentile(0.5) / 12)

    @property
    def range_semitones(self) -> float:
        """The distance of the 5th and the 95th percentile."""
        return self.percentile(0.95) - self.percentile(0.05)

    @property
    def spread_semitones(self) -> float:
        """The standard deviation."""
        if not self.hops:
            raise ValueError("no pitch was counted")
        mean = self.total / self.hops
        return math.sqrt(max(0.0, self.squares / self.hops - mean * mean))

    def percentile(self, share: float) -> float:
        """Semitones above 60 Hz under which this share of the hops lies, interpolated within a bin."""
        if not self.hops:
            raise ValueError("no pitch was counted")
        wanted, below = share * self.hops, 0
        for number in sorted(self.counts):
            count = self.counts[number]
            if below + count >= wanted:
                return (number + (wanted - below) / count) / BINS_PER_SEMITONE
            below += count
        raise AssertionError("the counts are fewer than the hops")
