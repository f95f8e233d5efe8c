"""The tasks of whoever empties an outbox into a connection: one that writes, one that enforces a close.

They exist only while they have something to do: of a thousand connections, few are busy at a time.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine

from gateway.outbox import Closing, Outbox


class SenderTasks(ABC):
    """The only writer to a connection, which it also closes. `over` is done once there is nothing left to do."""

    def __init__(self, outbox: Outbox) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox = outbox
        self._writer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Write what waits."""
        if self._writer is None and not self.over.done():
            self._writer = self._run(self._write())
        if self._outbox.closing is not None and self._closer is None and not self.over.done():
            self._closer = self._run(self._enforce_close(self._outbox.closing))

    def end(self, error: Exception | None = None) -> None:
        """The connection is closed, or cannot be served any more because of an error; only the first call counts."""
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)

    async def stop(self) -> None:
        """End all tasks: the connection is closed."""
        self.end()
        tasks = [task for task in (self._writer, self._closer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @abstractmethod
    async def _write(self) -> None:
        """Write until nothing waits; at the end, set `_writer` to None. Call `end` when the connection is lost."""

    @abstractmethod
    async def _enforce_close(self, closing: Closing) -> None:
        """Close a connection whose writer is stuck behind a client that does not read."""

    def _run(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._pass_on_error)
        return task

    def _pass_on_error(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.over.done():
            self.over.set_exception(error)
