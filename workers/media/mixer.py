"""Two channels to one, also when one of them is the other upside down.

The mean of the channels is what everybody hears, unless the channels are of opposite phase (a balanced cable plugged
wrongly, an adapter, a "surround" setting): then it is silence. So the mixer looks at blocks of 20 ms and takes half the
difference of the channels where that has 16 times the energy of the mean, in this block and, less strictly, over the
last half second; and it returns to the mean with the first audible block in which the mean is the stronger. Both sums
hold both channels, so no speaker of a call is ever dropped: one who speaks on one side alone is in both sums alike.

What comes out is a function of the samples and of their position on the recording's clock, never of how they were cut.
A `Mixing` is all that a successor needs: the state at a border between two blocks.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.media.pcm import Samples, finite, silence

_BLOCKS_A_SECOND = 50
_ENTER = 16.0
"""Energy of the difference over that of the mean: the other channel is at least 0.6 of this one, upside down."""

_ENTER_LONG = 2.0
_FORGET = 0.96
"""What a block keeps of the energies before it: half a second."""

_AUDIBLE = 0.05
"""Share of the average energy below which a block is a pause and decides nothing."""

_SILENCE = 1e-8
_FADES_A_SECOND = 200
_LOGGED_EVERY = 5
_MAX_LOG = 4_096

MARGIN_SECONDS = 0.15
"""A restart point must lie this much further back, so that a border lies between it and what is asked for."""

_RESAMPLER_SECONDS = 0.02


class Mixing(NamedTuple):
    """The state at sample `position` of the recording: `inverted`: the difference is taken; energies of both sums."""

    position: int
    inverted: bool
    mean: float
    difference: float


class StereoMixer:
    """The mixer of one recording at one rate (samples per second); `position`: the first sample it gets.

    `given`: the state of a predecessor, taken over at its position.
    """

    def __init__(self, rate: int, position: int, given: Mixing | None = None) -> None:
        self._block = max(1, rate // _BLOCKS_A_SECOND)
        self._fade = max(1, rate // _FADES_A_SECOND)
        self._rate = rate
        self._position = position
        self._given = given
        self._waits = self._stereo = given is not None
        self._begun = self._inverted = False
        self._energies = (0.0, 0.0)
        self._held: NDArray[np.float32] = np.zeros((2, 0), np.float32)
        self._log: deque[Mixing] = deque(maxlen=_MAX_LOG)

    def mixing_before(self, position: int) -> Mixing | None:
        """The state to give a successor whose samples count from `position` on; positions only rise from call to call.

        None: its samples need none.
        """
        latest = position - round(_RESAMPLER_SECONDS * self._rate)
        log = self._log
        while len(log) > 1 and log[1].position <= latest:
            log.popleft()
        return log[0] if log and log[0].position <= latest else self._given

    def push(self, channels: NDArray[np.float32]) -> Samples:
        """Samples of one or two channels (shape (channels, n)) to those of one that they complete."""
        if len(channels) == 1 and not self._stereo:
            self._position += channels.shape[1]
            alone: Samples = channels[0]
            return alone
        self._stereo = True
        pair = finite(np.broadcast_to(channels, (2, channels.shape[1])))
        self._held = np.concatenate([self._held, pair], axis=1) if self._held.shape[1] else pair
        parts: list[Samples] = []
        while True:
            size = self._block - self._position % self._block
            if self._held.shape[1] < size:
                break
            parts.append(self._mix(size))
        return np.concatenate(parts) if parts else silence(0)

    def flush(self) -> Samples:
        """The rest."""
        return self._mix(self._held.shape[1]) if self._held.shape[1] else silence(0)

    def _mix(self, size: int) -> Samples:
        """The next samples, up to the end of their block."""
        self._take_over()
        left, right = self._held[0, :size], self._held[1, :size]
        self._held = self._held[:, size:]
        mean, difference = (left + right) / 2, (left - right) / 2
        was, self._inverted = self._inverted, self._decide(float(mean @ mean), float(difference @ difference), size)
        self._position += size
        border = self._position // self._block
        if not self._waits and not self._position % self._block and not border % _LOGGED_EVERY:
            self._log.append(Mixing(self._position, self._inverted, *self._energies))
        old, new = (difference if was else mean), (difference if self._inverted else mean)
        begins, self._begun = not self._begun, True
        if was != self._inverted and not begins:
            new = old + (new - old) * np.minimum(np.arange(1, size + 1) / self._fade, 1)
        mixed: Samples = new.astype(np.float32, copy=False)
        return mixed

    def _take_over(self) -> None:
        if self._waits and self._given is not None and self._position >= self._given.position:
            self._waits = False
            self._inverted = self._given.inverted
            self._energies = (self._given.mean, self._given.difference)
            self._log.append(self._given)

    def _decide(self, mean: float, difference: float, size: int) -> bool:
        long_mean, long_difference = _FORGET * self._energies[0] + mean, _FORGET * self._energies[1] + difference
        self._energies = (long_mean, long_difference)
        energy = mean + difference
        average = (long_mean + long_difference) * (1 - _FORGET)
        if self._inverted:
            return not (mean > difference and energy > _AUDIBLE * average)
        enters = difference > _ENTER * mean and long_difference > _ENTER_LONG * long_mean
        return enters and energy > _SILENCE * size
