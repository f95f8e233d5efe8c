"""How a sentence ends: the loudness of its last third against its middle third, of speech alone."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.delivery.loudness import lufs

LEAST_HOPS: Final = 60
"""Hops of speech that a sentence needs, 1.2 s: each third is then two or three syllables."""

TRAILING_LU: Final = -6.0
"""A fall from which a sentence trails off.

Of 114 sentences read aloud 1 % fall as far (median -1.3 LU, 1st percentile -5.6); of the same with their last third
8 dB softer 96 %, 10 dB softer 98 %.
"""


class Ending(msgspec.Struct, frozen=True, array_like=True):
    """`fall`: loudness of the last third less that of the middle third, LU; below zero where the voice sinks."""

    fall: float
    trailing: bool


def ending(powers: NDArray[np.float64], speech: NDArray[np.bool_]) -> Ending | None:
    """The end of a sentence from the powers of its hops, first to last; `speech` says which of them hold speech.

    None with less than 1.2 s of speech, or where the middle is under the absolute gate.
    """
    heard = powers[speech]
    if len(heard) < LEAST_HOPS:
        return None
    third = len(heard) // 3
    middle, last = float(heard[third:-third].mean()), float(heard[-third:].mean())
    if lufs(middle) is None or last <= 0:
        return None
    fall = 10 * math.log10(last / middle)
    return Ending(fall, fall <= TRAILING_LU)
