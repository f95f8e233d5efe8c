"""When a stream's work is due, and how much effort the machine can spend on it.

A hypothesis is due when its last sample arrives, but not sooner after the one before than the duration of the media
between them. So a file sent faster than real time does not delay live streams, and its backlog is not overload.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.stt.decode_job import Effort
from workers.stt.tuning import SAMPLE_RATE, Tuning, samples

_STRETCH_FROM = 0.8
"""Seconds late from which the step grows: more than a hypothesis takes on a machine that has room."""
_STRETCH_SLOPE = 3.0
_GREEDY_FROM = 3.0
"""Seconds late from which the beam is one: the longest step saves more than that, and costs no words."""
_FLUENT_LAG = 0.3
_FLUENT_BACKLOG = samples(0.25)
_CATCH_UP = 4.0


@dataclass(slots=True)
class Pace:
    """One stream's schedule on the wall clock, in seconds.

    `resumed`: the replay of a stream that was moved here is due at four times real time, so that it catches up.
    """

    tuning: Tuning
    resumed: bool = False
    lag: float = 0.0
    """How late, in seconds, the last hypothesis that commits was ready; negative: early."""
    _position: int | None = None
    _due: float = 0.0

    def begin(self, position: int, now: float) -> None:
        """Record the arrival of the first audio: what follows `position` is due no sooner than it can be spoken."""
        if self._position is None:
            self._position, self._due = position, now

    def due(self, position: int, arrived: float) -> float:
        """When work on the audio up to `position`, the last of which arrived at `arrived`, is due."""
        if self._position is None:
            self._position, self._due = position, arrived
            return arrived
        media = (position - self._position) / SAMPLE_RATE
        self._position = position
        paced = self._due + media / (_CATCH_UP if self.resumed else 1.0)
        if arrived >= paced:
            self.resumed = False
        self._due = max(arrived, paced)
        return self._due

    def done(self, due: float, now: float) -> None:
        """Record that a hypothesis that commits is ready."""
        self.lag = now - due

    def effort(self, *, backlog: int, roomy: bool) -> Effort:
        """The effort for the next hypothesis: as words become late, the step grows; only then the beam shrinks to one.

        A step of twice the length halves the work. It keeps a worker on time that would fall behind more and more.
        """
        step = self.tuning.step + _STRETCH_SLOPE * max(0.0, self.lag - _STRETCH_FROM)
        return Effort(
            step=min(step, self.tuning.stretched_step),
            beam=1 if self.lag > _GREEDY_FROM else self.tuning.beam,
            extra_interims=roomy and self.lag < _FLUENT_LAG and backlog < _FLUENT_BACKLOG,
        )
