"""A clock for deadlines on other processes: it excludes the time during which this process was suspended.

When a gateway resumes after a suspension (SIGSTOP, a paused virtual machine, a sleeping laptop) or a blocked event
loop, every deadline seems to have passed although no worker was late, and every stream would leave its worker at once.
On this clock a suspension counts for `MAX_STEP` at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# The most that the time between two readings counts for, seconds. The owner reads the clock more often than that.
MAX_STEP = 1.0


class AwakeClock:
    """Seconds that never decrease. Read the clock at least every `MAX_STEP` seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read_at = clock()
        self._elapsed = 0.0

    def __call__(self) -> float:
        """Seconds since the clock was created, without suspensions."""
        now = self._clock()
        step, self._read_at = now - self._read_at, now
        if step > 0.0:
            self._elapsed += step if step < MAX_STEP else MAX_STEP
        return self._elapsed
