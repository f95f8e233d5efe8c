"""Empties an outbox into a WebSocket: at once while the socket is idle, else by a task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from gateway.outbox import Closing, Outbox
from gateway.store.base import StoreError


class SocketSender:
    """The only writer of messages to a socket, which it also closes. `over` is done once there is nothing left to do.

    Its tasks exist only while they have something to do: of a thousand sockets, few are busy at a time.
    """

    def __init__(
        self, socket: ServerConnection, outbox: Outbox, close_timeout_s: float, count_overflow: Callable[[], None]
    ) -> None:
        """`close_timeout_s`: how long messages that wait may delay a close."""
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._socket = socket
        self._outbox = outbox
        self._close_timeout_s = close_timeout_s
        self._count_overflow = count_overflow
        self._writer: asyncio.Task[None] | None = None
        self._closer: asyncio.Task[None] | None = None

    def transmit(self, payload: bytes) -> bool:
        """Write a message if everything before it has left this process; False if not, or if the socket is lost."""
        transport = self._socket.transport
        if self._socket.state is not State.OPEN or transport.get_write_buffer_size():
            return False
        broadcast((self._socket,), payload, text=True)
        return not transport.is_closing()

    def wake(self) -> None:
        """Write what waits in the outbox."""
        if self._writer is None and not self.over.done():
            self._writer = self._run(self._write())
        if self._outbox.closing is not None and self._closer is None:
            self._closer = self._run(self._enforce_close(self._outbox.closing))

    async def stop(self) -> None:
        """End all tasks: the socket is closed."""
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
            while (entry := self._outbox.next_entry()) is not None:
                if isinstance(entry, Closing):
                    await self._socket.close(entry.code, entry.reason)
                    self._finish()
                    return
                if entry.after is not None and not entry.after.done():
                    # The session counts a failed write; the client still gets its text.
                    with suppress(StoreError):
                        await asyncio.shield(asyncio.wrap_future(entry.after))
                await self._socket.send(entry.payload, text=True)
        except ConnectionClosed:
            self._finish()
        finally:
            self._writer = None

    async def _enforce_close(self, closing: Closing) -> None:
        """Close a socket whose writer is stuck behind a client that does not read."""
        if self._outbox.overflowed:
            self._count_overflow()
        else:
            await asyncio.sleep(self._close_timeout_s)
        await self._socket.close(closing.code, closing.reason)
        self._finish()
