"""How many streams a worker can serve: a moving estimate of a step's cost, and how slowly its slots follow. Pure.

A *step* is the work that a stream asks for again and again; what a second of it costs decides how many streams fit. Its
cost is the time that one thread needs for it, so other load on the machine makes steps cost more. Two sources tell
it: steps of running streams, and the benchmark of an idle worker.

Of the steps of the last minute, the one at the lower quartile counts. A step that waited for another stream's, or for
a moment of other load, is not what a step costs here. A measurement on an idle worker replaces all steps before it.
Steps that are a little cheaper than it confirm it: the lower quartile of steps on an unchanged machine lies below the
benchmark, and a worker that took this for room would overload itself.

Slots rise to what the estimate allowed at all times of the last 20 s, and fall to the most that it allowed in that
time. An estimate that swings around a whole number therefore changes nothing.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_WINDOW: Final = 60.0
_QUANTILE: Final = 0.25
_CONFIRMING: Final = 0.78
"""Part of the benchmark's cost above which cheaper steps confirm it.

Batches of speech took 0.71 to 1.10 of the CPU time that the benchmark says of their size.
"""
_LEAST_STEPS: Final = 12
_MOST_STEPS: Final = 1024
"""Steps kept; 1,024 in a minute are enough to tell the quartile."""
_HOLD: Final = 20.0
_MARGIN: Final = 0.02
"""Part of the estimate by which it must pass a whole number."""
_BY_CHANCE: Final = 1.1
_FIRST_PAUSE: Final = 10.0
_LAST_PAUSE: Final = 60.0
"""Seconds between two measurements of an idle worker, which take half a second or so of each thread."""
_LEAST_REST: Final = 30
"""Pause after a measurement, as a multiple of the time that it took: a slow model measures itself more rarely."""
_STEADY: Final = 0.1
"""Part by which two measurements in a row may differ on a machine that has not changed."""


def undisturbed(cost: float, cpu_cost: float, throttled: float) -> float:
    """A measured cost without what is noise: seconds of a step, given its CPU seconds.

    `throttled`: threads for each core of the quota. A worker alone on its machine takes `throttled` seconds for each
    CPU second, a tenth more or less by chance.
    """
    alone = cpu_cost * throttled
    return alone if cost <= _BY_CHANCE * alone else cost


class Source(enum.StrEnum):
    """What a cost was taken from."""

    START = "start"
    STEPS = "steps"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class SlotsChange:
    """New slots, those before, and why: the source and the cost of a step in seconds, now and at the last change."""

    slots: int
    before: int
    source: Source
    cost: float
    cost_before: float


class Capacity:
    """The slots of one worker; `slots` is never below one. Times are seconds on one rising clock."""

    def __init__(self, streams: Callable[[float], float], cost: float) -> None:
        """`streams`: how many fit, a fraction, at a given cost of a step (seconds); `cost`: measured at the start."""
        self._streams = streams
        self._steps: deque[tuple[float, float]] = deque(maxlen=_MOST_STEPS)
        self._measured = (cost, Source.START)
        self._known = self._measured
        self._allowed: deque[tuple[float, float]] = deque()
        self._since: float | None = None
        self._cost_before = cost
        self.slots = max(1, int(streams(cost)))

    def add_step(self, cost: float, now: float) -> None:
        """Record what a step of a running stream cost."""
        self._steps.append((now, cost))

    def add_measurement(self, cost: float) -> None:
        """Record what a step costs on an idle worker; earlier steps no longer count."""
        self._steps.clear()
        self._known = self._measured = (cost, Source.IDLE)

    def cost(self, now: float) -> tuple[float, Source]:
        """The present estimate in seconds, and its source: too few steps say nothing, and what was known stays."""
        while self._steps and self._steps[0][0] < now - _WINDOW:
            self._steps.popleft()
        if len(self._steps) >= _LEAST_STEPS:
            costs = sorted(cost for _, cost in self._steps)
            self._known = (self._confirmed(costs[int(_QUANTILE * len(costs))]), Source.STEPS)
        return self._known

    def _confirmed(self, cost: float) -> float:
        """The estimate from steps at their lower quartile, given the benchmark."""
        benchmark, _ = self._measured
        return cost if cost >= benchmark else min(benchmark, cost / _CONFIRMING)

    def review(self, now: float) -> SlotsChange | None:
        """Let the slots follow the estimate; to be called every second or so. Returns what changed."""
        cost, source = self.cost(now)
        streams = max(1.0, self._streams(cost))
        if self._since is None:
            self._since = now
        self._allowed.append((now, streams))
        while self._allowed[0][0] < now - _HOLD:
            self._allowed.popleft()
        if now - self._since < _HOLD:
            return None
        slots = self._followed(min(s for _, s in self._allowed), max(s for _, s in self._allowed))
        if slots == self.slots:
            return None
        change = SlotsChange(slots, self.slots, source, cost, self._cost_before)
        self.slots, self._cost_before = slots, cost
        return change

    def _followed(self, least: float, most: float) -> int:
        if int(least * (1 - _MARGIN)) > self.slots:
            return int(least)
        if int(most * (1 + _MARGIN)) < self.slots:
            return int(most)
        return self.slots


class MeasuringTimes:
    """When an idle worker measures itself: soon after a surprise, more and more rarely while nothing changes."""

    def __init__(self, now: float) -> None:
        """The start was a measurement. Times are seconds."""
        self._last = now
        self._pause = _FIRST_PAUSE
        self._rest = 0.0

    def due(self, now: float) -> bool:
        """Whether to measure, if the worker is idle."""
        return now - self._last >= max(self._pause, self._rest)

    def began(self, now: float) -> None:
        """Record that a measurement begins, whether it will count or not."""
        self._last = now

    def ended(self, now: float) -> None:
        """Record that the measurement that began last has ended, whether it will count or not."""
        self._rest = _LEAST_REST * (now - self._last)

    def found(self, cost: float, before: float) -> None:
        """Record what a measurement found, and the estimate before it."""
        steady = abs(cost - before) <= _STEADY * before
        self._pause = min(2 * self._pause, _LAST_PAUSE) if steady else _FIRST_PAUSE
