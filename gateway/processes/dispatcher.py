"""Accepts the connections of a door and hands each to the process that has the fewest.

The kernel would spread connections itself (SO_REUSEPORT, socket(7)), by a hash of their addresses. Sessions may last
for hours, and so would an uneven start: of 100 connections, one of two processes gets 60 or more in one case of 17, and
a process that was restarted stays behind the other. Counting makes the shares equal at any number.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from gateway.listening import BACKLOG

# Connections accepted before other work gets its turn.
_AT_ONCE: Final = 64
# Pauses while no process takes a connection, and while this process has no room for another descriptor.
_FULL_S: Final = 0.05
_NO_ROOM_S: Final = 1.0
# A process that has taken none of its connections for this long gets new ones only if all others do the same.
_STUCK_S: Final = 1.0


class Seat:
    """The place of one process at a door. It counts the connections that the process has and has had."""

    def __init__(self, channel: socket.socket, clock: Callable[[], float]) -> None:
        self._channel = channel
        self._channel.setblocking(False)
        self._clock = clock
        self._given = 0
        self._taken = 0
        self._closed = 0
        self._moved_at = clock()

    @property
    def load(self) -> int:
        """Connections that are open, or on their way to the process."""
        return self._given - self._closed

    @property
    def is_stuck(self) -> bool:
        """Whether the process has not taken connections that were given to it a while ago."""
        return self._given > self._taken and self._clock() - self._moved_at > _STUCK_S

    def give(self, connection: socket.socket) -> None:
        """Hand over a connection. Raises OSError if the process takes none now."""
        socket.send_fds(self._channel, [b"\0"], [connection.fileno()])
        if self._given == self._taken:
            self._moved_at = self._clock()
        self._given += 1

    def update(self, taken: int, closed: int) -> None:
        """What the process has counted since its start."""
        if taken > self._taken:
            self._moved_at = self._clock()
        self._taken, self._closed = taken, closed

    def close(self) -> None:
        """Close this side; connections that the process has not taken end."""
        self._channel.close()


class Dispatcher:
    """A door: its listening sockets and the processes behind it, by number."""

    def __init__(self, name: str, listeners: Sequence[socket.socket]) -> None:
        self.name = name
        self.seats: dict[int, Seat] = {}
        self._listeners = listeners
        self._held: socket.socket | None = None
        self._latest = -1
        self._is_open = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        name = self._listeners[0].getsockname()
        return str(name[0]), int(name[1])

    def listen(self) -> None:
        """Begin to accept."""
        self._is_open = True
        for listener in self._listeners:
            listener.listen(BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop accepting. A connection that no process took is closed."""
        self._is_open = False
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        if self._held is not None:
            self._held.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._pause(_NO_ROOM_S)
                return
            if not self._hand(connection):
                self._held = connection
                self._pause(_FULL_S)
                return

    def _hand(self, connection: socket.socket) -> bool:
        """Hand a connection to the process with the fewest, in turns if several have as few."""
        order = sorted(
            self.seats.items(),
            key=lambda each: (each[1].is_stuck, each[1].load, each[0] <= self._latest, each[0]),
        )
        for index, seat in order:
            with suppress(OSError):
                seat.give(connection)
                connection.close()
                self._latest = index
                return True
        return False

    def _pause(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
        loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if not self._is_open:
            return
        if self._held is not None:
            if not self._hand(self._held):
                self._pause(_FULL_S)
                return
            self._held = None
        for listener in self._listeners:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)
