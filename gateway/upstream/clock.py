"""A clock for deadlines on other processes: it does not count the time in which this one stood still.

A gateway that was stopped (SIGSTOP, a paused virtual machine, a suspended laptop) or blocked finds every deadline over
when it goes on, though no worker was late. Every stream would leave its worker at once. On this clock such a pause is
one step of bounded length.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# The longest time between two readings that counts as lived, seconds. The owner reads the clock more often than that.
MAX_STEP = 1.0


class AwakeClock:
    """Seconds that never go back; to be read at least every `MAX_STEP` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = clock()
        self._lived = 0.0

    def __call__(self) -> float:
        """Seconds lived since the clock was made."""
        now = self._clock()
        self._lived += min(max(0.0, now - self._read_at), MAX_STEP)
        self._read_at = now
        return self._lived
