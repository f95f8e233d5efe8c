"""How much the colour of a sound changes: a held vowel keeps its spectrum, ordinary speech changes it all the time.

Computed from a block and the samples before it alone, like `acoustics.analyse`; 0.1 ms of CPU a block.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.delivery.acoustics import BLOCK, CONTEXT, HOP, HOPS, SAMPLE_RATE

_FRAME: Final = 384
_LAG: Final = 2
"""Hops between the two spectra that are compared: 40 ms. Twice 20 ms and the frame fit into `CONTEXT`."""

_EDGES: Final = (100, 300, 500, 700, 900, 1150, 1450, 1800, 2250, 2800, 3500, 4400)
"""Of the bands, Hz: about two critical bands each (Zwicker, 1961)."""

_DEPTH_DB: Final = 35.0
"""Bands that lie further below the strongest one are background."""

_SILENT: Final = 1e-9
_TAPER: Final = np.hanning(_FRAME + 2)[1:-1]
_FREQUENCIES: Final = np.fft.rfftfreq(_FRAME, 1 / SAMPLE_RATE)
_BANDS: Final = np.array([(low <= _FREQUENCIES) & (high > _FREQUENCIES) for low, high in pairwise(_EDGES)], dtype=float)


def changes(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Change of the spectrum in the 40 ms before the end of each of a block's five hops, dB.

    The mean over bands of the absolute difference of their levels, the whole sound's level aside. `samples` are the
    `CONTEXT` samples before the block and the block. Raises ValueError for any other number.
    """
    if samples.shape != (CONTEXT + BLOCK,):
        raise ValueError(f"a block with its context has {CONTEXT + BLOCK} samples")
    ends = CONTEXT + HOP * np.arange(1 - _LAG, HOPS + 1)
    frames = np.stack([samples[end - _FRAME : end] for end in ends]).astype(np.float64)
    spectra = np.fft.rfft(frames * _TAPER)
    levels = 10 * np.log10((spectra.real**2 + spectra.imag**2) @ _BANDS.T + _SILENT)
    heard = np.maximum(levels, levels.max(axis=1, keepdims=True) - _DEPTH_DB)
    shape = heard - heard.mean(axis=1, keepdims=True)
    return np.asarray(np.abs(shape[_LAG:] - shape[:-_LAG]).mean(axis=1), dtype=np.float64)
