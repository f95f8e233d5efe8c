"""Empties an outbox into a WebSocket: at once while the socket is idle, else by a task that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from gateway.outbox import Closing, Outbox
from gateway.sender_tasks import SenderTasks
from gateway.store.base import StoreError


class SocketSender(SenderTasks):
    """The only writer of messages to a socket, which it also closes."""

    def __init__(
        self, socket: ServerConnection, outbox: Outbox, close_timeout_s: float, count_overflow: Callable[[], None]
    ) -> None:
        """`close_timeout_s`: how long messages that wait may delay a close."""
        super().__init__(outbox)
        self._socket = socket
        self._close_timeout_s = close_timeout_s
        self._count_overflow = count_overflow

    def transmit(self, payload: bytes) -> bool:
        """Write a message if everything before it has left this process; False if not, or if the socket is lost."""
        transport = self._socket.transport
        if self._socket.state is not State.OPEN or transport.get_write_buffer_size():
            return False
        self._socket.protocol.send_text(payload)
        self._socket.send_data()
        return not transport.is_closing()

    async def _write(self) -> None:
        try:
            while (entry := self._outbox.next_entry()) is not None:
                if isinstance(entry, Closing):
                    await self._socket.close(entry.code, entry.reason)
                    self.end()
                    return
                if entry.after is not None and not entry.after.done():
                    # The session counts a failed write; the client still gets its text.
                    with suppress(StoreError):
                        await asyncio.shield(asyncio.wrap_future(entry.after))
                await self._socket.send(entry.payload, text=True)
        except ConnectionClosed:
            self.end()
        finally:
            self._writer = None

    async def _enforce_close(self, closing: Closing) -> None:
        """Close a socket whose writer is stuck behind a client that does not read."""
        if self._outbox.overflowed:
            self._count_overflow()
        else:
            await asyncio.sleep(self._close_timeout_s)
        await self._socket.close(closing.code, closing.reason)
        self.end()
