"""A client's bytes become messages, in order, wherever TCP cuts them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest
from websockets.asyncio.server import Server
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from gateway.admission import Admission, Places
from gateway.client_socket import ClientSocket, SocketBounds
from gateway.inbound import Inbound
from gateway.metrics import Metrics
from gateway.reader import FAIR_SHARE, SocketReader, Work
from tests.fakes.raw_websocket import BINARY, CONTINUATION, PING, TEXT, frame

PATIENCE_S = 30.0
MESSAGES: list[str | bytes] = ["one", b"two", "three and more", "é" * 80, b"", "six"]
WIRE = b"".join(
    [
        frame(TEXT, b"one"),
        frame(BINARY, b"two"),
        frame(TEXT, b"three ", fin=False),
        frame(PING, b"!"),
        frame(CONTINUATION, b"and more"),
        frame(TEXT, "é".encode() * 80),
        frame(BINARY, b""),
        frame(TEXT, b"six", length_bytes=8),
    ]
)


class Listening:
    """The server of a socket, as far as the socket calls it."""

    def __init__(self) -> None:
        self.handler_tasks: set[asyncio.Task[None]] = set()

    async def handler(self, connection: object) -> None:
        """The test reads the socket itself."""


class Wire(asyncio.Transport):
    """The end of a socket that takes all that is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.asked: list[str] = []

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")


def made_socket(inbound: Inbound) -> ClientSocket:
    """A socket after its handshake, that nobody reads yet."""
    metrics = Metrics()
    admission = Admission("websocket", Places(10, 10, 10, 10), metrics, time.monotonic, lambda _: False)
    bounds = SocketBounds(1 << 20, 1 << 20, inbound, admission, metrics)
    protocol = ServerProtocol(state=OPEN, max_size=1 << 20)
    socket = ClientSocket(protocol, cast(Server, Listening()), bounds=bounds)
    socket.request = Request("/ws", Headers())
    socket.connection_made(Wire())
    return socket


def open_socket(handled: list[str | bytes]) -> ClientSocket:
    """A socket whose messages go into `handled`."""
    socket = made_socket(Inbound(1 << 24))
    read_on(socket, handled, lambda _: None)
    return socket


def read_on(socket: ClientSocket, handled: list[str | bytes], end: Callable[[Exception | None], None]) -> None:
    def handle(message: str | bytes) -> Work | None:
        handled.append(message)
        return None

    socket.begin(SocketReader(socket, handle, end))


@pytest.mark.parametrize("size", [*range(1, 40), len(WIRE)])
async def test_messages_arrive_whole_and_in_order_wherever_they_are_cut(size: int) -> None:
    handled: list[str | bytes] = []
    socket = open_socket(handled)
    for begin in range(0, 3 * len(WIRE), size):
        socket.data_received((3 * WIRE)[begin : begin + size])
    async with asyncio.timeout(PATIENCE_S):
        while len(handled) < 3 * len(MESSAGES):
            await asyncio.sleep(0)
    assert handled == 3 * MESSAGES
    assert cast(Wire, socket.transport).written.count(b"\x8a\x01!") == 3


@pytest.mark.parametrize("cut", [1, 2, 6, 6 + len(b"before")])
async def test_a_payload_that_looks_like_a_frame_is_none(cut: int) -> None:
    handled: list[str | bytes] = []
    socket = open_socket(handled)
    payload = b"before" + frame(TEXT, b"within") + b"after"
    whole = bytes((0x82, 0x80 | len(payload))) + bytes(4) + payload  # masked with zeros
    socket.data_received(whole[:cut])
    socket.data_received(whole[cut:])
    assert handled == [payload]


async def test_after_a_share_of_messages_others_have_their_turn() -> None:
    handled: list[str | bytes] = []
    socket = open_socket(handled)
    socket.data_received(b"".join(frame(TEXT, str(number).encode()) for number in range(3 * FAIR_SHARE)))
    assert len(handled) == FAIR_SHARE
    async with asyncio.timeout(PATIENCE_S):
        while len(handled) < 3 * FAIR_SHARE:
            await asyncio.sleep(0)
    assert handled == [str(number) for number in range(3 * FAIR_SHARE)]


async def test_a_held_socket_parses_nothing_stops_reading_once_and_counts_what_it_holds() -> None:
    inbound, handled = Inbound(1 << 24), list[str | bytes]()
    socket = made_socket(inbound)
    wire = cast(Wire, socket.transport)
    socket.hold()
    assert wire.asked == []
    sent = frame(BINARY, bytes(60_000)) + frame(PING, b"!") + frame(TEXT, b"last")
    socket.data_received(sent)
    socket.data_received(sent)
    assert (wire.asked, wire.written, inbound.total) == (["pause"], b"", 2 * len(sent))
    read_on(socket, handled, lambda _: None)
    async with asyncio.timeout(PATIENCE_S):
        while len(handled) < 4:
            await asyncio.sleep(0)
    assert handled == 2 * [bytes(60_000), "last"]
    assert wire.written.count(b"\x8a\x01!") == 2
    async with asyncio.timeout(PATIENCE_S):
        while wire.asked != ["pause", "resume"]:
            await asyncio.sleep(0)


async def test_a_connection_that_is_lost_while_held_is_over_at_once() -> None:
    ends: list[Exception | None] = []
    socket = made_socket(Inbound(1 << 24))
    socket.hold()
    socket.connection_lost(None)
    read_on(socket, [], ends.append)
    assert ends == [None]
