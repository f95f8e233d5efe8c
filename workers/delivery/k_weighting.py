"""The frequency weighting of ITU-R BS.1770-5: a high shelf for the head, then a high pass.

The standard prints coefficients for 48 kHz alone. The analogue prototypes behind them (De Man, "Evaluation of
Implementations of the EBU R128 Loudness Measurement", AES 2018) give them for any rate; at 48 kHz they agree with the
standard's to 1e-9.

The two biquads are one linear system of four states. A row of 40 samples is then two small matrix products, and a block
of 1,600 samples costs 0.05 ms of CPU without a loop over samples.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Biquad = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Numerator and denominator, in falling powers of z; the denominator begins with 1."""

STATES: Final = 4
AT_REST: Final = (0.0,) * STATES
"""The filter's state before the first sample."""

_ROW: Final = 40

_SHELF_HZ: Final = 1681.974450955533
_SHELF_GAIN_DB: Final = 3.999843853973347
_SHELF_Q: Final = 0.7071752369554196
_SHELF_SLOPE: Final = 0.4996667741545416
_PASS_HZ: Final = 38.13547087602444
_PASS_Q: Final = 0.5003270373238773


def biquads(sample_rate: int) -> tuple[Biquad, Biquad]:
    """The high shelf and the high pass at a sample rate in Hz."""
    k = math.tan(math.pi * _SHELF_HZ / sample_rate)
    high = 10 ** (_SHELF_GAIN_DB / 20)
    middle = high**_SHELF_SLOPE
    a0 = 1 + k / _SHELF_Q + k * k
    shelf = (
        (
            (high + middle * k / _SHELF_Q + k * k) / a0,
            2 * (k * k - high) / a0,
            (high - middle * k / _SHELF_Q + k * k) / a0,
        ),
        (1.0, 2 * (k * k - 1) / a0, (1 - k / _SHELF_Q + k * k) / a0),
    )
    k = math.tan(math.pi * _PASS_HZ / sample_rate)
    a0 = 1 + k / _PASS_Q + k * k
    high_pass = ((1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / a0, (1 - k / _PASS_Q + k * k) / a0))
    return shelf, high_pass


class KWeighting:
    """The filter for blocks of one length. Keeps no state of any stream: the caller passes it on."""

    def __init__(self, sample_rate: int, block: int) -> None:
        """`block` is a multiple of 40 samples; raises ValueError for any other length."""
        if block <= 0 or block % _ROW:
            raise ValueError("a block is a whole number of rows of 40 samples")
        self._rows = block // _ROW
        step, gain, read, through = _system(sample_rate)
        powers = [np.eye(STATES)]
        for _ in range(_ROW):
            powers.append(step @ powers[-1])
        response = [through, *(float(read @ powers[n] @ gain) for n in range(_ROW - 1))]
        lags = np.subtract.outer(np.arange(_ROW), np.arange(_ROW))
        self._forced = np.ascontiguousarray(np.where(lags >= 0, np.array(response)[np.abs(lags)], 0.0).T)
        self._free = np.ascontiguousarray(np.array([read @ powers[n] for n in range(_ROW)]).T)
        self._gathered = np.array([powers[_ROW - 1 - n] @ gain for n in range(_ROW)])
        self._chained = _chain(powers[_ROW], self._rows)

    def __call__(self, samples: Floats, state: tuple[float, ...]) -> tuple[Floats, tuple[float, ...]]:
        """The next `block` samples weighted, and the state behind them."""
        rows = samples.reshape(self._rows, _ROW)
        pushes = np.concatenate([np.array(state), (rows @ self._gathered).ravel()])
        states = (self._chained @ pushes).reshape(self._rows + 1, STATES)
        weighted = rows @ self._forced + states[:-1] @ self._free
        return weighted.ravel(), tuple(states[-1].tolist())


@cache
def weighting(sample_rate: int, block: int) -> KWeighting:
    """The filter of a sample rate and a block length, made once."""
    return KWeighting(sample_rate, block)


def _system(sample_rate: int) -> tuple[Floats, Floats, Floats, float]:
    """Both biquads in a row as a state space: next = step @ state + gain * x; y = read @ state + through * x."""
    (b, a), (d, c) = biquads(sample_rate)
    step = np.array(
        [
            [-a[1], 1, 0, 0],
            [-a[2], 0, 0, 0],
            [d[1] - c[1] * d[0], 0, -c[1], 1],
            [d[2] - c[2] * d[0], 0, -c[2], 0],
        ]
    )
    gain = np.array([b[1] - a[1] * b[0], b[2] - a[2] * b[0], (d[1] - c[1] * d[0]) * b[0], (d[2] - c[2] * d[0]) * b[0]])
    return step, gain, np.array([d[0], 0, 1, 0]), d[0] * b[0]


def _chain(step: Floats, rows: int) -> Floats:
    """From the first state and what each row adds to the state before every row and behind the last one."""
    powers = [np.eye(STATES)]
    for _ in range(rows):
        powers.append(step @ powers[-1])
    nothing = np.zeros((STATES, STATES))
    return np.block([[powers[n - k] if k <= n else nothing for k in range(rows + 1)] for n in range(rows + 1)])
