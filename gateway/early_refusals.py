"""Handshakes of owners above their rate, refused on the bare socket.

A flood of refusals costs the gateway mostly what asyncio and websockets do for a connection that is never used. Here a
refusal takes two turns of the event loop: one reads the request, the other answers. websockets parses and writes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from websockets.exceptions import WebSocketException
from websockets.http11 import Request
from websockets.streams import StreamReader

from gateway.refusals import LateAnswers

_REQUEST_BYTES: Final = 8 * 1024
_LINGER_S: Final = 2.0


class EarlyRefusals:
    """Those of one port without TLS.

    `is_flooded`: whether owners are above their rate at all; else no request is read here. `refusal`: the answer to a
    request, as it is written, if the request is refused.
    """

    def __init__(
        self,
        is_flooded: Callable[[], bool],
        refusal: Callable[[Request], bytes | None],
        late_answers: LateAnswers,
    ) -> None:
        self._is_flooded = is_flooded
        self._refusal = refusal
        self._late_answers = late_answers
        self._held: set[socket.socket] = set()

    def takes(self, connection: socket.socket) -> bool:
        """Whether a new connection's request has come and is refused. If so, it is answered and closed from here."""
        if not self._is_flooded():
            return False
        try:
            data = connection.recv(_REQUEST_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            return False
        request = _parsed(data)
        answer = None if request is None else self._refusal(request)
        if answer is None:
            return False
        connection.recv(len(data))
        self._held.add(connection)
        self._late_answers.call(lambda: self._answer(connection, answer))
        return True

    def close(self) -> None:
        """Close the connections that have not been answered."""
        for connection in self._held:
            connection.close()
        self._held.clear()

    def _answer(self, connection: socket.socket, answer: bytes) -> None:
        if connection not in self._held:
            return
        try:
            connection.send(answer, socket.MSG_DONTWAIT)
            # What nobody has read would make the kernel send RST, which may overtake the answer (RFC 9112 9.6).
            if _has_more(connection):
                connection.shutdown(socket.SHUT_WR)
                asyncio.get_running_loop().call_later(_LINGER_S, self._close, connection)
                return
        except OSError:
            pass  # the client is gone
        self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._held.discard(connection)
        connection.close()


def _parsed(data: bytes) -> Request | None:
    """The request that a client has sent; None if it is no whole request, or more than one."""
    reader = StreamReader()
    reader.feed_data(data)
    try:
        next(Request.parse(reader.read_line))
    except StopIteration as parsed:
        request: Request = parsed.value
        return None if reader.buffer else request
    except (ValueError, NotImplementedError, WebSocketException):
        pass  # whatever is wrong with it: `OpeningHandshake` finds that, too, and answers
    return None


def _has_more(connection: socket.socket) -> bool:
    """Whether the client has sent more than its request."""
    with suppress(BlockingIOError):
        return bool(connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    return False
