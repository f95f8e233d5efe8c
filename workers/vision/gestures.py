"""Nods and blinks: short movements that only a steady stream of frames shows. Pure.

Below 10 frames per second a nod, below 15 a blink may fall between two frames: then they are not measurable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NOD_FPS: Final = 10.0
BLINK_FPS: Final = 15.0
_RATE_FRAMES: Final = 12
_NOD_DEGREES: Final = 5.0
_NOD_MS: Final = 900
_NOD_ONSET: Final = 0.2
_BLINK_MS: Final = 500
_SLACK: Final = 0.93
"""A camera of 15 frames per second gives 14.x; the slack is for its clock."""


@dataclass(frozen=True, slots=True)
class Nod:
    """A nod, media milliseconds."""

    t0_ms: int
    t1_ms: int


class RateMeter:
    """Frames per second over the last frames; 0 until it is known."""

    def __init__(self, times: Iterable[int] = ()) -> None:
        """`times` of the frames before."""
        self._times: deque[int] = deque(times, maxlen=_RATE_FRAMES)

    def add(self, media_ms: int) -> float:
        """The rate with the next frame."""
        self._times.append(media_ms)
        span = self._times[-1] - self._times[0]
        return (len(self._times) - 1) * 1000 / span if len(self._times) > 3 and span > 0 else 0.0


class NodFinder:
    """Pitch to nods: down by 5 degrees or more and back up by half of it, all within 0.9 s.

    A nod begins where the pitch was last within a fifth of the way from its top: at rest the top is anywhere.
    """

    def __init__(self, recent: Iterable[tuple[int, float]] = ()) -> None:
        self._recent: deque[tuple[int, float]] = deque(recent)

    @property
    def recent(self) -> list[tuple[int, float]]:
        """The times and pitches that a nod may have begun with."""
        return list(self._recent)

    def add(self, media_ms: int, pitch: float | None) -> Nod | None:
        """The nod that ends with the next frame; pitch in degrees, positive upwards."""
        if pitch is None:
            self._recent.clear()
            return None
        self._recent.append((media_ms, pitch))
        while media_ms - self._recent[0][0] > _NOD_MS:
            self._recent.popleft()
        low = min(self._recent, key=lambda sample: sample[1])
        before = [sample for sample in self._recent if sample[0] <= low[0]]
        top = max(sample[1] for sample in before)
        drop = top - low[1]
        if drop < _NOD_DEGREES or pitch - low[1] < drop / 2:
            return None
        self._recent.clear()
        return Nod(max(at for at, degrees in before if degrees >= top - drop * _NOD_ONSET), media_ms)


class BlinkFinder:
    """Closed eyes to blinks: shut for at most 0.5 s."""

    def __init__(self, shut_at: int | None = None) -> None:
        self.shut_at = shut_at

    def add(self, media_ms: int, closed: bool | None) -> bool:
        """Whether a blink ends with the next frame."""
        if closed is None:
            self.shut_at = None
            return False
        if closed:
            self.shut_at = media_ms if self.shut_at is None else self.shut_at
            return False
        shut, self.shut_at = self.shut_at, None
        return shut is not None and media_ms - shut <= _BLINK_MS


def fast_enough(fps: float, needed: float) -> bool:
    """Whether a rate is sufficient."""
    return fps >= needed * _SLACK
