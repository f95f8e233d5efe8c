"""The opening handshake of a WebSocket (RFC 6455 4.2): from the accept until the request is refused or let in.

A client that floods the gateway is mostly refused. So neither a task nor a connection of websockets exists before a
request is let in: the parser of websockets reads the request, and a refused client gets an answer and nothing more.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, cast

from websockets.asyncio.server import Server
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from gateway.admission import Refused
from gateway.client_socket import ClientSocket, SocketBounds
from gateway.handshakes import HSTS, HandshakePolicy
from gateway.refusals import LateAnswers

_NOTHING: Final = b""
_END: Final = b"\r\n\r\n"  # of a request (RFC 9112 2.1)


@dataclass(frozen=True, slots=True)
class Openings:
    """The unfinished handshakes of a port. `request_s`: the time for a request to arrive, and to be read."""

    policy: HandshakePolicy
    late_answers: LateAnswers
    bounds: SocketBounds
    request_s: float
    pending: set[OpeningHandshake] = field(default_factory=set)

    def close(self) -> None:
        """End them."""
        for each in list(self.pending):
            each.transport.abort()


class OpeningHandshake(asyncio.Protocol):
    """One handshake. websockets creates it for an accepted connection, with what its own `ServerConnection` gets."""

    __slots__ = (
        "_deadline",
        "_has_more",
        "_is_evicted",
        "_openings",
        "_options",
        "_preparing",
        "_request",
        "_server",
        "_tail",
        "protocol",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, protocol: ServerProtocol, server: Server, *, openings: Openings, **options: Any) -> None:  # noqa: ANN401 - what websockets passes
        self.protocol = protocol
        self._server = server
        self._openings = openings
        self._options = options
        self._request: Request | None = None
        # The last bytes that were parsed: the end of the request may begin in them.
        self._tail = b""
        self._preparing: asyncio.Task[None] | None = None
        # Whether the client has sent more than a request.
        self._has_more = True
        # Whether the connection has had to make room: `gateway.admission` has counted it.
        self._is_evicted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._deadline = asyncio.get_running_loop().call_later(self._openings.request_s, self.transport.abort)
        self._openings.pending.add(self)
        visitor = self._openings.bounds.admission.find(transport.get_extra_info("peername"))
        if visitor is not None:
            # A shutdown goes unnoticed while nothing is read.
            visitor.end, visitor.drop = self._evict, self.transport.abort
            if not visitor.is_waiting:  # it has had to make room since it was accepted
                self._evict()

    def data_received(self, data: bytes) -> None:
        if self._request is not None:
            self._has_more = True
            return
        end = self._end_of_request(data)
        self.protocol.receive_data(data[:end])
        events = self.protocol.events_received()
        if events:
            self._request = cast(Request, events[0])
            self._begin(self._request, data[end:])
        else:
            self._send()  # what the parser answers to something that is no request

    def _end_of_request(self, data: bytes) -> int:
        """Where the request ends in `data`. What comes behind must not be parsed before it is let in.

        The parser would answer a ping before the request, and end the connection over a frame that is none.
        """
        found = (self._tail + data).find(_END)
        end = len(data) if found < 0 else found + len(_END) - len(self._tail)
        self._tail = (self._tail + data)[1 - len(_END) :]
        return end

    def connection_lost(self, _error: Exception | None) -> None:
        self._deadline.cancel()
        self._openings.pending.discard(self)
        if self._request is None and not self._is_evicted:
            self._openings.bounds.metrics.connections_refused.labels("websocket", Refused.NO_REQUEST).inc()

    def _evict(self) -> None:
        self._is_evicted = True
        self.transport.abort()

    def _begin(self, request: Request, rest: bytes) -> None:
        """A request has come; `rest`: bytes behind it."""
        if self._openings.policy.can_check(request):
            self._answer(request, rest)
        else:
            self.transport.pause_reading()
            self._preparing = asyncio.create_task(self._answer_later(request, rest))

    def _answer(self, request: Request, rest: bytes) -> None:
        """Let the client in, or refuse it."""
        response = self._openings.policy.check(request, self.transport.get_extra_info("peername"))
        if response is None:
            self._let_in(request, rest)
            return
        self._has_more = bool(rest)
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            self._openings.late_answers.call(lambda: self._refuse(response))
        else:
            self._refuse(response)

    async def _answer_later(self, request: Request, rest: bytes) -> None:
        await self._openings.policy.prepare(request)
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._answer(request, rest)

    def _let_in(self, request: Request, rest: bytes) -> None:
        self._deadline.cancel()
        self._openings.pending.discard(self)
        socket = ClientSocket(self.protocol, self._server, bounds=self._openings.bounds, **self._options)
        socket.take_over(self.transport, request, rest)

    def _refuse(self, response: Response) -> None:
        if self.transport.is_closing():
            return
        if self.transport.get_extra_info("sslcontext") is not None:
            response.headers["Strict-Transport-Security"] = HSTS
        self.protocol.send_response(response)
        self._send()

    def _send(self) -> None:
        """Send what the parser has for the client, and close.

        Data that nobody has read would make the kernel send RST, which may overtake the answer (RFC 9112 9.6). A client
        that has sent more than its request may be sending still: its end is waited for, and what it sends is dropped.
        """
        for data in self.protocol.data_to_send():
            if data != _NOTHING:
                self.transport.write(data)
            elif self._has_more and self.transport.can_write_eof():
                self.transport.write_eof()
            else:
                self.transport.close()
