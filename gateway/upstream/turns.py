"""Streams that lost their worker are shown to the next one in turn, so that input that kills workers is found out.

All streams of a lost worker come back at once, and one of them may be what killed it. If they were replayed together
and the next worker died too, nobody could tell which it was. So each has a moment of its own: a worker that dies in it
speaks against that stream alone; one that dies before has seen nothing of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# The longest moment of one stream, and what the first of a long line has a share of, seconds. Ten streams take one
# second together, a hundred 3.3 s, a thousand 5.6 s (the sum of 1/n), and the time of their replays.
_LONGEST = 0.1
_SHARED = 1.0


class Turns:
    """One turn at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    @property
    def seconds(self) -> float:
        """How long the worker is watched in the present turn: the shorter the more streams wait for theirs."""
        return min(_LONGEST, _SHARED / (self._waiting + 1))

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the length of the block."""
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._lock.release()
