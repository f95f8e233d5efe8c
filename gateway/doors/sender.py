"""Empties an outbox into a dialect: messages are translated when they are sent, since newer ones may replace them.

Like `gateway.sender`, but the client gets what a conversation makes of the messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Final, Protocol

from gateway.config import GatewayConfig
from gateway.outbox import Closing, Outbox
from gateway.protocol.errors import CloseCode
from gateway.protocol.messages import ServerMessage
from gateway.store.base import StoreError

_CLOSED: Final = (ConnectionError, RuntimeError)


class Line(Protocol):
    """The way to the client."""

    async def send(self, payload: bytes) -> None:
        """Send a text message; waits while the client does not read. Raises ConnectionError when it is lost."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close, and wait for the client to do so, too."""
        ...

    def abort(self) -> None:
        """Drop the connection."""
        ...


class DoorSender:
    """The only writer to a client. `over` is done once there is nothing left to do."""

    def __init__(
        self,
        line: Line,
        outbox: Outbox,
        tell: Callable[[ServerMessage], None],
        config: GatewayConfig,
    ) -> None:
        """`tell` translates a message and calls `say` with the result.

        As many texts and bytes may wait for the client as messages of our own protocol may.
        """
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.overflowed = False
        self._line = line
        self._outbox = outbox
        self._tell = tell
        self._config = config
        self._texts: deque[bytes] = deque()
        self._bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None

    def say(self, payload: bytes) -> None:
        """Send a text message of the dialect, after those that wait."""
        self._texts.append(payload)
        self._bytes += len(payload)
        if len(self._texts) > self._config.outbox_messages or self._bytes > self._config.outbox_bytes:
            self.overflowed = True
            self._texts.clear()
            self._bytes = 0
            self._outbox.close(CloseCode.POLICY, "the client does not read its messages")
        self.wake()

    def transmit(self, payload: bytes) -> bool:
        """See `gateway.outbox.Sender`: messages are translated by the task that sends them."""
        return False

    def wake(self) -> None:
        """Write what waits."""
        if self._writer is None and not self.over.done():
            self._writer = self._run(self._write())
        if self._outbox.closing is not None and self._closer is None and not self.over.done():
            self._closer = self._run(self._enforce_close(self._outbox.closing))

    async def stop(self) -> None:
        """End all tasks: the connection is closed."""
        self._finish()
        tasks = [task for task in (self._writer, self._closer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _run(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._pass_on_error)
        return task

    def _pass_on_error(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self.over.done():
            self.over.set_exception(error)

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    async def _write(self) -> None:
        try:
            while True:
                if self._texts:
                    text = self._texts.popleft()
                    self._bytes -= len(text)
                    await self._line.send(text)
                    continue
                match self._outbox.next_entry():
                    case None:
                        return
                    case Closing(code, reason):
                        await self._line.close(code, reason)
                        self._finish()
                        return
                    case entry:
                        if entry.after is not None and not entry.after.done():
                            # The session counts a failed write; the client still gets its text.
                            with suppress(StoreError):
                                await asyncio.shield(asyncio.wrap_future(entry.after))
                        self._tell(entry.message)
        except _CLOSED:
            self._finish()
        finally:
            self._writer = None

    async def _enforce_close(self, closing: Closing) -> None:
        """Close a connection whose writer is stuck behind a client that does not read."""
        if not (self._outbox.overflowed or self.overflowed):
            await asyncio.sleep(2 * self._config.close_timeout_s)
        self._line.abort()
        self._finish()
