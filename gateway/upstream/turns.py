"""Streams that lost their worker are replayed to the next one in turn, which exposes input that kills workers.

All streams of a lost worker come back at once, and one of them may have killed it. If they were replayed together and
the next worker died, too, nobody could say which one it was. So each stream gets a turn: if the worker dies during the
turn, only that stream is suspected; if it dies earlier, it has received nothing of that stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# The longest turn, and the time that all waiting streams share, seconds. Ten streams take one second together, a
# hundred 3.3 s, a thousand 5.6 s (the sum of 1/n), plus the time of their replays.
_MAX_TURN = 0.1
_SHARED_TIME = 1.0


class Turns:
    """One turn at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @property
    def duration(self) -> float:
        """How long the current turn lasts, seconds; the more streams are waiting, the shorter it is."""
        return min(_MAX_TURN, _SHARED_TIME / (self._waiting + 1))

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it during the block."""
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()
