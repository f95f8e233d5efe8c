"""Handshakes of owners above their rate, refused on the bare socket.

A flood of refusals costs the gateway mostly what asyncio and websockets do for a connection that is never used, and
turns of the event loop. Here a request is not parsed, and refusing one client also answers earlier ones.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.refusals import LateAnswers
from gateway.request_head import RequestHead, head_of

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
        refusal: Callable[[RequestHead], bytes | None],
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
        head = head_of(data)
        answer = None if head is None else self._refusal(head)
        if answer is None:
            return False
        self._held.add(connection)
        self._late_answers.call(lambda: self._answer(connection, answer, len(data)))
        self._late_answers.give_due()
        return True

    def close(self) -> None:
        """Close the connections that have not been answered."""
        for connection in list(self._held):
            with suppress(OSError):
                connection.recv(_REQUEST_BYTES, socket.MSG_DONTWAIT)  # see Accepted.end
            self._close(connection)

    def _answer(self, connection: socket.socket, answer: bytes, request_bytes: int) -> None:
        if connection not in self._held:
            return
        try:
            connection.send(answer, socket.MSG_DONTWAIT)
            # What nobody has read would make the kernel send RST, which may overtake the answer (RFC 9112 9.6).
            read = connection.recv(_REQUEST_BYTES, socket.MSG_DONTWAIT)
            if len(read) > request_bytes or len(read) == _REQUEST_BYTES:
                connection.shutdown(socket.SHUT_WR)
                asyncio.get_running_loop().call_later(_LINGER_S, self._close, connection)
                return
        except OSError:
            pass  # the client is gone
        self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._held.discard(connection)
        connection.close()
