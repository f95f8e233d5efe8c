"""Sockets to listen on: `::` takes IPv4 as well, which asyncio's own sockets leave out (IPV6_V6ONLY, RFC 3493)."""

from __future__ import annotations

import socket
from typing import Final, TypedDict

ANY_ADDRESS: Final = "::"
# Connections that the kernel holds until they are accepted; the smaller of this and net.core.somaxconn applies. With
# asyncio's 100, a third of a thousand clients that reconnect together is dropped and retries after 1, 3 and 7 seconds.
BACKLOG: Final = 4096


class Listening(TypedDict, total=False):
    """What `loop.create_server` takes: an address, or a socket that is bound already."""

    host: str
    port: int
    sock: socket.socket


def listening(host: str, port: int) -> Listening:
    """Where to listen. Raises OSError if `::` cannot be bound for both kinds of addresses."""
    if host != ANY_ADDRESS:
        return Listening(host=host, port=port)
    if not socket.has_dualstack_ipv6():
        raise OSError("this system cannot serve IPv4 and IPv6 on one socket: listen on 0.0.0.0 instead of ::")
    sock = socket.create_server((host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)
    return Listening(sock=sock)
