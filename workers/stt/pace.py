"""When a stream's work is due, and how much effort the machine can spend on it.

A hypothesis is due when its last sample arrives, but not sooner after the one before than the duration of the media
between them. So a file sent faster than real time does not delay live streams, and its backlog is not overload.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from workers.stt.decode_job import Effort
from workers.stt.tuning import SAMPLE_RATE, Tuning, samples

STRETCH_FROM = 0.8
"""Seconds late from which the step grows: more than a hypothesis takes on a machine that has room."""
_STRETCH_SLOPE = 5.0
_CROWDED_FROM, _CROWDED_TO = 0.7, 0.95
"""Load of the model's threads from which the step grows, before anything is late, and at which it is the longest.

A worker that grows its steps only when words are late already keeps a queue. In a model of it in virtual time (two
threads, 20 streams), the last final of a stream comes after 1.0 s (p95) and not 2.3.
"""
_GREEDY_FROM = 3.0
"""Seconds late from which the beam is one: the longest step saves more than that, and costs no words."""
_AHEAD = 1.2
"""Seconds by which audio comes before it can have been spoken, if it does not come in real time.

More than a browser's chunk, with which a live stream begins, and less than a step.
"""
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
    ahead: bool = False
    """Whether the audio comes faster than it can be spoken."""
    _stepped: bool = False
    _position: int | None = None
    _due: float = 0.0

    def begin(self, position: int, now: float) -> None:
        """Record that audio behind `position` arrives: it is due no sooner than it can be spoken."""
        if self._position is None:
            self._position, self._due = position, now
        elif not self._stepped:
            self.ahead = self._due + (position - self._position) / SAMPLE_RATE - now > _AHEAD

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
        self._stepped, self.ahead = True, paced - arrived > _AHEAD
        self._due = max(arrived, paced)
        return self._due

    @property
    def flexible(self) -> bool:
        """Whether steps depend on the machine at all: if they may not grow, none is left out either."""
        return self.tuning.stretched_step > self.tuning.step

    def done(self, due: float, now: float) -> None:
        """Record that a hypothesis that commits is ready."""
        self.lag = now - due

    def effort(self, *, backlog: int, roomy: bool, load: float = 0.0) -> Effort:
        """The effort for the next hypothesis: as words become late, the step grows; only then the beam shrinks to one.

        A step of twice the length halves the work. It keeps a worker on time that would fall behind more and more.
        `load`: of the model's threads, 0 to 1; it stretches the step of a stream whose audio comes in real time.
        """
        tuning = self.tuning
        load = load if not self.ahead else 0.0
        room = tuning.stretched_step - tuning.step
        late = _STRETCH_SLOPE * max(0.0, self.lag - STRETCH_FROM)
        crowded = (load - _CROWDED_FROM) / (_CROWDED_TO - _CROWDED_FROM)
        stretch = min(room, max(late, crowded * room))
        return Effort(
            step=tuning.step + stretch + self._overrun(late - room, load),
            beam=1 if self.lag > _GREEDY_FROM else tuning.beam,
            extra_interims=roomy and self.lag < _FLUENT_LAG and backlog < _FLUENT_BACKLOG,
            strain=stretch / room if room else 0.0,
        )

    def _overrun(self, late: float, load: float) -> float:
        """Seconds beyond the stretched step: where all of the threads' time is used, or words are late all the same."""
        if not self.flexible:
            return 0.0
        room = self.tuning.overrun_step - self.tuning.stretched_step
        full = (load - _CROWDED_TO) / (1 - _CROWDED_TO)
        return min(room, max(0.0, late, full * room))

    def hurried(self, effort: Effort, *, until_close: int | None, withdrawn: bool) -> Effort:
        """The same effort without a further step before a window closes, if the stream is late.

        The last hypothesis of a window hears all that a step would. `until_close`: samples until the window closes for
        good, None if that is not known; `withdrawn`: whether a step was given up for it.
        """
        longest = samples(self.tuning.stretched_step)
        late = withdrawn or (self.lag > _FLUENT_LAG and not self.ahead)
        if not self.flexible or until_close is None or until_close > longest or not late:
            return effort
        return replace(effort, step=2 * self.tuning.stretched_step, strain=1.0)
