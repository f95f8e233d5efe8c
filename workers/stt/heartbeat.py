"""When a session that is silent for long says that it lives: the gateway takes one that is silent too long for lost.

A window of a recording may take longer to collect, and to decode, than the gateway waits for an answer. So the session
reports between. But not for ever: a model that has not begun anything for a while hangs, and then silence is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_EVERY = 3.0
_HUNG_AFTER = 120.0


@dataclass(slots=True)
class Heartbeat:
    """All times in seconds on one monotonic clock, beginning at `now`."""

    now: float
    _last: float = field(init=False)
    _moved: float = field(init=False)
    _asked: bool = False
    _batches: int = -1

    def __post_init__(self) -> None:
        self._last = self._moved = self.now

    def asked(self, now: float) -> None:
        """A chunk came in; the clock does not run while nothing is asked."""
        if not self._asked:
            self._asked, self._last = True, max(self._last, now)

    def answered(self, now: float) -> None:
        """A result went out."""
        self._asked, self._last, self._moved = False, now, now

    def worked(self, batches: int, now: float) -> None:
        """How many batches the model has begun; a new one is a sign of life."""
        if batches != self._batches:
            self._batches, self._moved = batches, now

    def next_beat(self, now: float, *, working: bool) -> float | None:
        """Seconds until a beat may be due; None: none is owed."""
        if not (working or self._asked):
            return None
        return max(0.0, self._last + _EVERY - now)

    def beat(self, now: float, *, working: bool) -> bool:
        """Whether to report now; notes it if so."""
        hangs = working and now - self._moved >= _HUNG_AFTER
        due = (working or self._asked) and now - self._last >= _EVERY
        if due:
            self._asked, self._last = False, now
        return due and not hangs
