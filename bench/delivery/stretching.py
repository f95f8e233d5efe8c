"""Speech made slower or faster at its own pitch, by overlapping pieces that fit each other best (WSOLA)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FRAME = 640
_HOP = _FRAME // 2
_SEARCH = 200
_TAPER = np.hanning(_FRAME + 1)[:-1]


def stretched(audio: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Audio (16 kHz) that lasts `factor` times as long. Verhelst and Roelands, "WSOLA", 1993."""
    padded = np.concatenate([np.zeros(_SEARCH), audio, np.zeros(_SEARCH + 2 * _FRAME)]).astype(np.float64)
    steps = int(len(audio) * factor / _HOP)
    made = np.zeros((steps + 2) * _HOP)
    place = _SEARCH
    for step in range(steps):
        made[step * _HOP : step * _HOP + _FRAME] += _TAPER * padded[place : place + _FRAME]
        wanted = padded[place + _HOP : place + _HOP + _FRAME]
        centre = min(_SEARCH + int((step + 1) * _HOP / factor), len(padded) - _FRAME - _SEARCH - 1)
        near = padded[centre - _SEARCH : centre + _SEARCH + _FRAME]
        place = centre - _SEARCH + int(np.correlate(near, wanted, mode="valid").argmax())
    return made[: int(len(audio) * factor)].astype(np.float32)
