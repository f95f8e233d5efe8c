"""A door of a process: a listening socket to asyncio, whose connections a supervisor has accepted and hands over.

They come as descriptors (SCM_RIGHTS, unix(7)), one in a byte, over a pair of sockets.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from gateway.admission import Refused
from gateway.listening import Accepted, ListeningSocket


class HandedSocket(ListeningSocket):
    """`address`: host and port that the clients connect to. `changed` is called when one of the counts has changed."""

    address: tuple[str, int]
    changed: Callable[[], None]
    taken = 0
    closed = 0

    def listen(self, _backlog: int = 0, /) -> None:
        """Does nothing: the supervisor listens."""

    def getsockname(self) -> tuple[str, int]:
        """The address that clients connect to."""
        return self.address

    def _next(self) -> tuple[Accepted, Any]:
        """The next connection. Raises BlockingIOError for one that has ended or found no descriptor here."""
        data, descriptors, _, _ = socket.recv_fds(self, 1, 1)
        if not data:  # the supervisor is gone, which the control channel tells this process; stop asking
            asyncio.get_running_loop().remove_reader(self.fileno())
            raise BlockingIOError
        self.taken += 1
        self.changed()
        if not descriptors:
            self._left()
            self.admission.refused("", Refused.DESCRIPTORS)
            raise BlockingIOError
        # Its family is read from it: asyncio sets TCP_NODELAY only on what it takes for TCP.
        connection = Accepted(fileno=descriptors[0])
        try:
            return connection, connection.getpeername()
        except OSError:
            connection.close()
            self._left()
            raise BlockingIOError from None

    def _left(self) -> None:
        self.closed += 1
        self.changed()
