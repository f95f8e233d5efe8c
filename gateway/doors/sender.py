"""Empties an outbox into a dialect: messages are translated when they are sent, since newer ones may replace them.

Like `gateway.sender`, but the client gets what a conversation makes of the messages.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from gateway.config import GatewayConfig
from gateway.outbox import Closing, Outbox
from gateway.protocol.errors import CloseCode
from gateway.protocol.messages import ServerMessage
from gateway.sender_tasks import SenderTasks
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


class DoorSender(SenderTasks):
    """The only writer to a client."""

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
        super().__init__(outbox)
        self.overflowed = False
        self._line = line
        self._tell = tell
        self._config = config
        self._texts: deque[bytes] = deque()
        self._bytes = 0

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
                        self.end()
                        return
                    case entry:
                        if entry.after is not None and not entry.after.done():
                            # The session counts a failed write; the client still gets its text.
                            with suppress(StoreError):
                                await asyncio.shield(asyncio.wrap_future(entry.after))
                        self._tell(entry.message)
        except _CLOSED:
            self.end()
        finally:
            self._writer = None

    async def _enforce_close(self, closing: Closing) -> None:
        """Close a connection whose writer is stuck behind a client that does not read."""
        if not (self._outbox.overflowed or self.overflowed):
            await asyncio.sleep(2 * self._config.close_timeout_s)
        self._line.abort()
        self.end()
