"""A window of audio: its samples, its voice probabilities, the encoder length it gets and where it can be cut.

Positions are samples on the stream's media clock. Probabilities are kept in steps of 1/65535, two bytes per frame:
that is what another worker gets, so both decide alike.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

from workers.stt.tuning import FRAME, SAMPLE_RATE, Tuning, samples

_CUT_REACH = samples(0.2)
_CUT_FRAMES = 13
_SMOOTHING = 3
_LOUDEST = 65_535

Samples = NDArray[np.float32]


def encoder_frames(length: int, tuning: Tuning, *, floor: float | None = None) -> int:
    """Encoder input, in mel frames of 10 ms, for `length` samples: a function of the audio alone, never of the load.

    `floor`: its least seconds, if not `encoder_floor`.
    """
    seconds = length / SAMPLE_RATE + tuning.encoder_room
    grain = tuning.encoder_grain
    seconds = max(tuning.encoder_floor if floor is None else floor, math.ceil(seconds / grain - 1e-9) * grain)
    return round(min(tuning.encoder_limit, seconds) * 100)


class AudioBuffer:
    """The last stretch of a stream, addressed by absolute position."""

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._data: Samples = np.empty(SAMPLE_RATE, dtype=np.float32)
        self._size = 0

    @property
    def start(self) -> int:
        return self._start

    @property
    def end(self) -> int:
        return self._start + self._size

    def append(self, audio: Samples) -> None:
        needed = self._size + len(audio)
        if needed > len(self._data):
            grown = np.empty(max(needed, 2 * len(self._data)), dtype=np.float32)
            grown[: self._size] = self._data[: self._size]
            self._data = grown
        self._data[self._size : needed] = audio
        self._size = needed

    def slice(self, start: int, end: int) -> Samples:
        """A copy of the samples from `start` to `end`; raises ValueError if they are not all there."""
        if not self._start <= start <= end <= self.end:
            raise ValueError("audio outside the buffer")
        return self._data[start - self._start : end - self._start].copy()

    def drop_before(self, position: int) -> None:
        """Forget what lies before `position`."""
        count = min(position, self.end) - self._start
        if count <= 0:
            return
        self._size -= count
        self._data[: self._size] = self._data[count : count + self._size].copy()
        self._start += count


class VoiceTrack:
    """Voice probabilities of the last frames, addressed by absolute frame number."""

    def __init__(self, first: int = 0, quantised: bytes = b"") -> None:
        if len(quantised) % 2:
            raise ValueError("voice probabilities come in two bytes each")
        self._first = first
        self._levels = array("H", np.frombuffer(quantised, "<u2").tolist())

    @property
    def first(self) -> int:
        return self._first

    @property
    def end(self) -> int:
        return self._first + len(self._levels)

    def append(self, probability: float) -> None:
        self._levels.append(round(min(1.0, max(0.0, probability)) * _LOUDEST))

    def drop_before(self, frame: int) -> None:
        count = min(frame, self.end) - self._first
        if count > 0:
            del self._levels[:count]
            self._first += count

    def levels(self) -> bytes:
        """Two bytes per frame, little-endian, 65,535 for a probability of 1."""
        return np.array(self._levels, "<u2").tobytes()

    def between(self, first: int, end: int) -> Samples:
        """Probabilities of frames `first` to `end`, as far as they are known."""
        low, high = max(first, self._first) - self._first, max(0, min(end, self.end) - self._first)
        return np.array(self._levels[low:high], dtype=np.float32) / np.float32(_LOUDEST)

    def voiced(self, start: int, end: int, threshold: float) -> tuple[int, int]:
        """The stretch between two positions without the frames under `threshold` at its ends.

        The whole of it if no frame in it reaches the threshold.
        """
        first = max(start // FRAME, self._first)
        loud = np.flatnonzero(self.between(first, -(-end // FRAME)) >= threshold)
        if not len(loud):
            return start, end
        return max(start, (first + int(loud[0])) * FRAME), min(end, (first + int(loud[-1]) + 1) * FRAME)

    def voiced_samples(self, start: int, end: int, threshold: float) -> int:
        """Samples between two positions in frames of at least `threshold`."""
        first = max(start // FRAME, self._first)
        loud = first + np.flatnonzero(self.between(first, -(-end // FRAME)) >= threshold)
        overlap = np.minimum((loud + 1) * FRAME, end) - np.maximum(loud * FRAME, start)
        return int(overlap.sum())

    def quietness(self, position: int) -> float:
        """The lowest smoothed probability within 0.2 s of a position; 1 where frames are not known yet."""
        first = (position - _CUT_REACH) // FRAME
        around = self.between(first, first + _CUT_FRAMES)
        if len(around) < _CUT_FRAMES:
            return 1.0
        return float(np.convolve(around, np.full(_SMOOTHING, 1 / _SMOOTHING), "valid").min())

    def quietest(self, position: int) -> int:
        """The middle of the quietest frame within 0.2 s, the nearest of several; the position if all are alike."""
        first = max((position - _CUT_REACH) // FRAME, self._first)
        around = self.between(first, (position - _CUT_REACH) // FRAME + _CUT_FRAMES)
        if not len(around) or around.min() == around.max():
            return position
        lowest = first + np.flatnonzero(around == around.min())
        middles = lowest * FRAME + FRAME // 2
        return int(middles[np.argmin(np.abs(middles - position))])

    def pause_in(self, start: int, end: int) -> int:
        """The middle of the quietest 7 frames that lie between two positions; `end` if there are fewer."""
        first = start // FRAME
        stretch = self.between(first, end // FRAME)
        width = 7
        if len(stretch) < width:
            return end
        sums = np.convolve(stretch, np.ones(width), "valid")
        return (max(first, self._first) + int(np.argmin(sums)) + width // 2) * FRAME
