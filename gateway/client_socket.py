"""A WebSocket whose client is bounded in what it can make the gateway hold or do, before its session reads a message.

websockets parses at once all that it is given, queues every frame and answers every ping. So it is given the bytes in
slices, between which other clients have their turn, and a client that sends many small frames is read slowly.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from websockets.asyncio.server import Server, ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import DATA_OPCODES, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Event, State
from websockets.server import ServerProtocol

from gateway.admission import Admission, Visitor
from gateway.inbound import Inbound, Unread
from gateway.metrics import Metrics
from gateway.protocol.codec import encode
from gateway.protocol.errors import CloseCode, Code, Problem
from gateway.protocol.translate import error_message
from gateway.reader import FAIR_SHARE, SocketReader
from gateway.refusal_pace import FRAMES_BURST, FRAMES_PER_S

# With 6 bytes a frame, the smallest of a client, parsing a slice takes 20 ms.
SLICE_BYTES: Final = 16 * 1024
_FORWARDED: Final = "X-Forwarded-For"
_NO_HEADERS: Final = Headers()


@dataclass(frozen=True, slots=True)
class SocketBounds:
    """Bytes: the largest message after authentication, and what may wait for a client that does not read."""

    message_bytes: int
    unsent_bytes: int
    inbound: Inbound
    admission: Admission
    metrics: Metrics
    frames_per_s: float = FRAMES_PER_S
    frames_burst: float = FRAMES_BURST


class ClientSocket(ServerConnection):
    """One socket, from the request of its handshake to the close."""

    # With more than 30 attributes in all, each object would have a dictionary of 1.5 KB of its own (CPython 3.11).
    __slots__ = (
        "_arrived",
        "_bounds",
        "_frames",
        "_frames_at",
        "_ignores_input",
        "_is_held",
        "_is_lost",
        "_is_reading",
        "_next_slice",
        "_reader",
        "_share",
        "_unread",
        "_visitor",
    )

    def __init__(self, protocol: ServerProtocol, server: Server, *, bounds: SocketBounds, **options: Any) -> None:  # noqa: ANN401 - what websockets passes
        super().__init__(protocol, server, **options)
        self._bounds = bounds
        self._unread = Unread(bounds.inbound, self._overflow)
        self._arrived = bytearray()
        # The next slice is due then; without one, the socket may be read.
        self._next_slice: asyncio.Handle | None = None
        self._is_held = False
        self._is_lost = False
        self._is_reading = True
        self._ignores_input = False
        self._frames = float(bounds.frames_burst)
        self._frames_at = self.loop.time()
        self._visitor: Visitor | None = None
        self._reader: SocketReader | None = None
        # How many messages of the bytes at hand may still be passed on at once.
        self._share = 0

    # --- for the connection

    def hold(self) -> None:
        """Parse nothing until `begin`. Reading pauses only if data arrives, which is rare."""
        self._is_held = True

    def begin(self, reader: SocketReader) -> None:
        """Read on, and pass on to `reader` what has arrived and what comes."""
        self._reader = reader
        if self._unread.has_message:
            reader.wake()
        if self._is_lost:
            reader.lost()
        self._is_held = False
        self._adjust_reading()

    def forget_handshake(self) -> None:
        """Forget 2 KB that nobody reads any more; of the request, only the address of the client is needed later.

        The request itself stays: the parser of websockets holds it as long as the connection lives.
        """
        assert self.request is not None
        forwarded = self.request.headers.get_all(_FORWARDED)
        self.request.path = ""
        self.request.headers = Headers([(_FORWARDED, value) for value in forwarded]) if forwarded else _NO_HEADERS
        self.response = None

    def authenticated(self) -> None:
        """The client has shown a valid credential: it may send large messages, and is not closed to make room."""
        self.protocol.max_message_size = self._bounds.message_bytes
        if self._visitor is not None:
            self._bounds.admission.serve(self._visitor)

    @property
    def has_message(self) -> bool:
        """Whether a whole message waits to be read."""
        return self._unread.has_message

    async def take_message(self) -> str | bytes | None:
        """Read the message that has waited longest; None if the socket is closed, be it because of this message."""
        try:
            message = await self.recv()
        except ConnectionClosed:
            return None
        self._unread.take_message()
        self._unread.count(self._buffered())
        if not self._is_reading:
            self._adjust_reading()
        return message

    # --- for the opening handshake

    def take_over(self, transport: asyncio.Transport, request: Request, rest: bytes) -> None:
        """Become the protocol of a connection whose request has been let in; `rest`: bytes behind it."""
        transport.set_protocol(self)
        self.connection_made(transport)
        self.process_event(request)
        if rest:
            self.data_received(rest)

    # --- for asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._visitor = self._bounds.admission.find(transport.get_extra_info("peername"))
        if self._visitor is not None:
            self._visitor.end = self._give_way

    def data_received(self, data: bytes) -> None:
        if self._ignores_input:
            return
        if not self._arrived and len(data) <= SLICE_BYTES and self._may_parse():
            self._parse(data)
            return
        self._arrived += data
        self._unread.count(self._buffered())
        self._adjust_reading()

    def eof_received(self) -> None:
        if not self._ignores_input:
            self._ignores_input = True
            if self.state is not State.CONNECTING:
                super().data_received(bytes(self._arrived))
            self._arrived.clear()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ignores_input = True
        self._arrived.clear()
        self._unread.close()
        super().connection_lost(exc)
        self._is_lost = True
        if self._reader is not None:
            self._reader.lost()

    def process_event(self, event: Event) -> None:
        if not isinstance(event, Frame):
            super().process_event(event)
            return
        self._frames -= 1
        if event.opcode not in DATA_OPCODES:
            super().process_event(event)
        elif not self._is_passed_on(event):
            self._unread.add_frame(len(event.data), is_last=event.fin)
            super().process_event(event)
            if event.fin and self._reader is not None:
                self._reader.wake()

    # --- inside

    def _is_passed_on(self, frame: Frame) -> bool:
        """Pass on a message of one frame, unless others wait before it or have their turn.

        websockets assembles all other messages, and closes the socket over one that is not UTF-8.
        """
        reader = self._reader
        is_whole = frame.fin and frame.opcode is not Opcode.CONT
        if reader is None or not is_whole or not self._share or not reader.is_free or not self._unread.is_empty:
            return False
        try:
            message = str(frame.data, "utf-8") if frame.opcode is Opcode.TEXT else bytes(frame.data)
        except UnicodeDecodeError:
            return False
        self._share -= 1
        reader.pass_on(message)
        return True

    def _may_parse(self) -> bool:
        if self._is_held or self._next_slice is not None or self._unread.is_full:
            return False
        # websockets would write what it answers to a frame before the answer to the handshake.
        return self.protocol.state is not State.CONNECTING

    def _adjust_reading(self) -> None:
        """Parse on, read on, or do neither."""
        if self._ignores_input:
            return
        may_parse = self._may_parse()
        if may_parse and self._arrived:
            self._next_slice = self.loop.call_soon(self._parse_slice)
            may_parse = False
        if may_parse is self._is_reading:
            return
        self._is_reading = may_parse
        if may_parse:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _parse_slice(self) -> None:
        self._next_slice = None
        if self._ignores_input or not self._arrived:
            self._adjust_reading()
            return
        part = bytes(self._arrived[:SLICE_BYTES])
        del self._arrived[:SLICE_BYTES]
        self._parse(part)

    def _parse(self, part: bytes) -> None:
        self._share = FAIR_SHARE
        super().data_received(part)
        self._unread.count(self._buffered())
        if self.transport.get_write_buffer_size() > self._bounds.unsent_bytes:
            # Pongs that the client does not read.
            self._bounds.metrics.overflows.inc()
            self.transport.abort()
        elif self._frames < 0 and (wait_s := self._frame_debt_s()):
            self._bounds.metrics.frame_pauses.inc()
            self._next_slice = self.loop.call_later(wait_s, self._parse_slice)
        self._adjust_reading()

    def _frame_debt_s(self) -> float:
        """Seconds until the client may send more frames than `frames_burst`; 0 if it has been moderate."""
        now = self.loop.time()
        earned = (now - self._frames_at) * self._bounds.frames_per_s
        self._frames, self._frames_at = min(self._bounds.frames_burst, self._frames + earned), now
        return max(0.0, -self._frames / self._bounds.frames_per_s)

    def _buffered(self) -> int:
        return len(self._arrived) + len(self.protocol.reader.buffer)

    def _give_way(self) -> None:
        """Too many clients have not authenticated, and this one for the longest time."""
        if self.state is State.OPEN:
            self._refuse("too many clients have not authenticated yet")
        else:
            self.transport.abort()

    def _overflow(self) -> None:
        """All sockets together hold too much, and this one the most."""
        self._bounds.metrics.inbound_overflows.inc()
        self._refuse("the gateway holds too much unread data; send smaller messages")

    def _refuse(self, reason: str) -> None:
        """Send an error, drop what has arrived and close the socket, without waiting for the client."""
        self._ignores_input = True
        self._arrived.clear()
        self._unread.close()
        if self.state is State.OPEN:
            self._bounds.metrics.errors.labels(Code.BUSY).inc()
            self.protocol.send_text(encode(error_message(Problem(Code.BUSY, reason)), time.time()))
            self.protocol.fail(CloseCode.BUSY, str(Code.BUSY))
            self.send_data()
        self.loop.call_later(self.close_timeout or 0.0, self.transport.abort)
