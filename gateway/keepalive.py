"""Pings a client, and drops it if it is silent, but not while its frames, perhaps with a pong, wait here to be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed


class Reading(NamedTuple):
    """How far a connection has read: messages, pauses begun so far, and whether it pauses now."""

    received: int
    pauses: int
    is_paused: bool


class Keepalive:
    """The pings of one socket. Between them there is only a timer."""

    def __init__(
        self, socket: ServerConnection, interval_s: float, timeout_s: float, reading: Callable[[], Reading]
    ) -> None:
        """`timeout_s`: how long a pong may take."""
        self._socket = socket
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._reading = reading
        self._task: asyncio.Task[None] | None = None
        self._timer = self._set_timer()

    def stop(self) -> None:
        """Send no more pings."""
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _set_timer(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._interval_s, self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._ping())

    async def _ping(self) -> None:
        before = self._reading()
        with suppress(ConnectionClosed):
            try:
                async with asyncio.timeout(self._timeout_s):
                    await (await self._socket.ping())
            except TimeoutError:
                now = self._reading()
                # The reader may have paused all that time, and gone on just now.
                if not before.is_paused and (now.received, now.pauses) == (before.received, before.pauses):
                    self._socket.transport.abort()
                    return
            self._timer = self._set_timer()
        self._task = None
