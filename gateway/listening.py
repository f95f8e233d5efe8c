"""Sockets to listen on, which count their connections from the accept to the close (`gateway.admission`).

`::` takes IPv4 as well, which asyncio's own sockets leave out (IPV6_V6ONLY, RFC 3493). Connections are counted here
because this is the only place that sees all of them, those in a TLS handshake included.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar

from gateway.admission import Admission, Refused

ANY_ADDRESS: Final = "::"
# Connections that the kernel holds until they are accepted; the smaller of this and net.core.somaxconn applies. With
# asyncio's 100, a third of a thousand clients that reconnect together is dropped and retries after 1, 3 and 7 seconds.
BACKLOG: Final = 4096
_MOST_READ: Final = 64 * 1024
# Errors of accept(2) that mean that this process or machine has no room for another connection.
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

S = TypeVar("S", bound=socket.socket)


class Accepted(socket.socket):
    """A connection that reports when it is closed."""

    on_close: Callable[[], None] | None = None
    has_reader = True

    def close(self) -> None:
        super().close()
        if self.on_close is not None:
            on_close, self.on_close = self.on_close, None
            on_close()

    def end(self) -> None:
        """Make both sides see the end of the connection; its owner then closes it, if one reads it.

        Data that nobody has read would make the kernel send RST.
        """
        if not self.has_reader:
            with suppress(OSError):
                self.recv(_MOST_READ, socket.MSG_DONTWAIT)
            self.close()
            return
        with suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class ListeningSocket(socket.socket):
    """A socket that asyncio accepts from. `allows`: whether a peer's address may connect at all.

    `takes`: whether a connection is dealt with elsewhere, so that asyncio gets none. Nobody reads it then, and it may
    be closed at any time.
    """

    admission: Admission
    allows: Callable[[str], bool]
    takes: Callable[[socket.socket], bool] = staticmethod(lambda _: False)
    _is_exhausted = False

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that there is a place for.

        Raises BlockingIOError after one that was refused or taken: asyncio then returns to its loop, so that others
        have their turn. Without descriptors, asyncio pauses for a second if accept raises OSError, but it calls accept
        BACKLOG times before; BlockingIOError ends that, too.
        """
        if self._is_exhausted:
            self._is_exhausted = False
            raise BlockingIOError
        try:
            connection, address = self._next()
        except OSError as error:
            if error.errno in _NO_ROOM:
                self._is_exhausted = True
                self.admission.refused("", Refused.DESCRIPTORS)
            raise
        host = str(address[0])
        if not self.allows(host):
            self.admission.refused(host, Refused.PLAINTEXT)
        elif self.admission.enter(address, host, connection.end):
            connection.on_close = lambda: self._leave(address)
            if self._is_taken(connection):
                raise BlockingIOError
            return connection, address
        connection.close()
        self._left()
        raise BlockingIOError

    def _is_taken(self, connection: Accepted) -> bool:
        try:
            is_taken = self.takes(connection)
        except BaseException:
            connection.close()
            raise
        connection.has_reader = not is_taken
        return is_taken

    def _next(self) -> tuple[Accepted, Any]:
        plain, address = super().accept()
        return Accepted(*self._numbers, fileno=plain.detach()), address

    @cached_property
    def _numbers(self) -> tuple[int, int, int]:
        """Family, type and protocol. Reading `family` and `type` makes an enum's member of each, at every call."""
        return int(self.family), int(self.type), self.proto

    def _leave(self, address: Hashable) -> None:
        self.admission.leave(address)
        self._left()

    def _left(self) -> None:
        """A connection that was accepted is closed."""


class Doors(Protocol):
    """Where connections come from: this process's own ports, or a supervisor that several processes share."""

    async def open(
        self, name: str, address: tuple[str, int], admission: Admission, allows: Callable[[str], bool]
    ) -> list[ListeningSocket]:
        """The sockets of a door: `http`, `ws`, `wss` or `wyoming`. Raises OSError."""

    async def gather(self, exposition: bytes) -> bytes:
        """The metrics of all processes, given those of this one."""


class OwnPorts:
    """The doors of a gateway that is one process."""

    async def open(
        self, name: str, address: tuple[str, int], admission: Admission, allows: Callable[[str], bool]
    ) -> list[ListeningSocket]:
        """See Doors."""
        return await listening(*address, admission, allows)

    async def gather(self, exposition: bytes) -> bytes:
        """See Doors."""
        return exposition


async def listening(
    host: str, port: int, admission: Admission, allows: Callable[[str], bool] = lambda _: True
) -> list[ListeningSocket]:
    """Sockets bound to every address of a host; with port 0, all to the port that the first one gets.

    Raises OSError if one cannot be bound, and if `::` cannot be bound for both kinds of addresses.
    """
    bound = await bind(host, port, ListeningSocket)
    for listener in bound:
        listener.admission, listener.allows = admission, allows
    return bound


async def bind(host: str, port: int, kind: type[S]) -> list[S]:
    """The same for another kind of socket. They are bound and do not listen yet. Raises OSError."""
    if host == ANY_ADDRESS and not socket.has_dualstack_ipv6():
        raise OSError("this system cannot serve IPv4 and IPv6 on one socket: listen on 0.0.0.0 instead of ::")
    found = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound: list[S] = []
    try:
        for family, transport, protocol, _, address in dict.fromkeys(found):
            listener = kind(family, transport, protocol)
            bound.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != ANY_ADDRESS)
            port = port or (bound[0].getsockname()[1] if len(bound) > 1 else 0)
            listener.bind((address[0], port, *address[2:]))
            listener.setblocking(False)
    except OSError as error:
        for listener in bound:
            listener.close()
        raise OSError(error.errno, f"cannot listen on {host} port {port}: {error.strerror or error}") from None
    return bound


def defer_accept(listener: socket.socket) -> None:
    """Accept connections only when their client has sent something, or has not for a second (tcp(7)).

    So the request of a handshake is there when the connection is. Where the system cannot do it, nothing changes.
    """
    if hasattr(socket, "TCP_DEFER_ACCEPT") and listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
