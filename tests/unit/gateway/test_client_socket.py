"""A client's bytes become messages, in order, wherever TCP cuts them."""

from __future__ import annotations

import asyncio
import time
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

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def open_socket(handled: list[str | bytes]) -> ClientSocket:
    """A socket after its handshake, whose messages go into `handled`."""
    metrics = Metrics()
    admission = Admission("websocket", Places(10, 10, 10, 10), metrics, time.monotonic, lambda _: False)
    bounds = SocketBounds(1 << 20, 1 << 20, Inbound(1 << 24), admission, metrics)
    protocol = ServerProtocol(state=OPEN, max_size=1 << 20)
    socket = ClientSocket(protocol, cast(Server, Listening()), bounds=bounds)
    socket.request = Request("/ws", Headers())
    socket.connection_made(Wire())

    def handle(message: str | bytes) -> Work | None:
        handled.append(message)
        return None

    socket.begin(SocketReader(socket, handle, lambda _: None))
    return socket


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
