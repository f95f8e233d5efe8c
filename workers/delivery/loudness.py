"""Loudness by ITU-R BS.1770-5, of one channel: the level of K-weighted power in LUFS."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

SHORT_TERM_HOPS: Final = 150
"""3 s of hops of 20 ms: the short-term loudness of EBU Tech 3341."""

SILENT_LUFS: Final = -70.0
"""The absolute gate of BS.1770: what is softer is no programme."""

_OFFSET: Final = -0.691


def lufs(power: float) -> float | None:
    """The loudness of a mean square of K-weighted samples (full scale 1), LUFS; None under the absolute gate."""
    if power <= 0 or not math.isfinite(power):
        return None
    loudness = _OFFSET + 10 * math.log10(power)
    return loudness if loudness >= SILENT_LUFS else None


def short_term(powers: NDArray[np.float64]) -> float | None:
    """The loudness of the last 3 s of hops, LUFS. None with less than 3 s, or under the absolute gate."""
    if len(powers) < SHORT_TERM_HOPS:
        return None
    return lufs(float(np.mean(powers[-SHORT_TERM_HOPS:])))


class SpeechLoudness(msgspec.Struct, array_like=True):
    """The loudness of speech alone: the sum of the powers of its hops. Sums of two stretches add up.

    The gate is speech itself, so that pauses do not make a speaker softer. BS.1770's own gate of -10 LU would drop soft
    words, which are what a softer passage is made of.
    """

    power: float = 0.0
    hops: int = 0

    def add(self, powers: NDArray[np.float64], speech: NDArray[np.bool_]) -> None:
        """Take hops; `speech` says which of them hold speech. Both of one length."""
        heard = powers[speech]
        self.power += float(heard.sum())
        self.hops += len(heard)

    @property
    def lufs(self) -> float | None:
        """None without speech, or under the absolute gate."""
        return lufs(self.power / self.hops) if self.hops else None
