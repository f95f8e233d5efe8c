"""Sends what waits in an outbox, batch by batch. What comes within a short time travels together.

The first entry after a pause is sent at once. While batches follow each other, each waits until PAUSE_S after the one
before it: one write to gRPC costs more than a hundred entries do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from multiplex.outbox import Outbox

Entry = TypeVar("Entry")

PAUSE_S: Final = 0.002


class BatchWriter(Generic[Entry]):
    """Writes an outbox to an RPC. `run` in a task of its own; everything else returns at once."""

    def __init__(
        self, outbox: Outbox[Entry], write: Callable[[list[Entry]], Awaitable[None]], pause: float = PAUSE_S
    ) -> None:
        """`write` sends one batch and waits for the RPC's flow control. `pause`: between batches, seconds."""
        self._outbox = outbox
        self._write = write
        self._pause = pause
        self._waiting: asyncio.Future[None] | None = None
        self._blocked: list[asyncio.Future[None]] = []

    def wake(self) -> None:
        """Something may have been put into the outbox."""
        if self._waiting is not None and self._outbox:
            waiting, self._waiting = self._waiting, None
            if not waiting.done():
                waiting.set_result(None)

    def when_writable(self) -> asyncio.Future[None]:
        """Done when there may be room in the outbox again, or when the link has ended: look again."""
        blocked = asyncio.get_running_loop().create_future()
        self._blocked.append(blocked)
        return blocked

    async def run(self) -> None:
        """Write until cancelled, or until `write` raises."""
        loop = asyncio.get_running_loop()
        next_at = 0.0
        while True:
            while not self._outbox:
                self._waiting = loop.create_future()
                await self._waiting
            wait = next_at - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            next_at = loop.time() + self._pause
            await self._write(self._outbox.take())
            if self._blocked and not self._outbox.full:
                self.unblock()

    def unblock(self) -> None:
        """Wake everybody who waits for `when_writable`; the link's end does so, too."""
        blocked, self._blocked = self._blocked, []
        for each in blocked:
            if not each.done():
                each.set_result(None)
