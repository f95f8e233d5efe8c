"""Listening sockets: every connection is counted until it closes, and a lack of descriptors costs next to nothing."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing

import pytest

from gateway.admission import Admission, Places
from gateway.early_refusals import EarlyRefusals
from gateway.listening import BACKLOG, defer_accept, listening
from gateway.metrics import Metrics
from gateway.refusals import LateAnswers
from tests.fakes.raw_websocket import RawWebSocket


class Port:
    """A server that keeps every connection open, and clients of it."""

    def __init__(self, places: Places) -> None:
        self.admission = Admission("http", places, Metrics(), time.monotonic)
        self.accepted: list[asyncio.StreamWriter] = []
        self.number = 0
        self._clients: list[RawWebSocket] = []

    async def keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(writer)
        await reader.read()
        writer.close()

    async def connect(self, source: str | None = None) -> RawWebSocket:
        client = await RawWebSocket.connect(self.number, source=source)
        self._clients.append(client)
        return client

    def serve_all(self) -> None:
        for writer in self.accepted:
            visitor = self.admission.find(writer.get_extra_info("peername"))
            if visitor is not None:
                self.admission.serve(visitor)

    def abort(self) -> None:
        for client in self._clients:
            client.abort()


@asynccontextmanager
async def port(
    places: Places,
    allows: Callable[[str], bool] = lambda _: True,
    *,
    is_deferred: bool = False,
    takes: Callable[[socket.socket], bool] | None = None,
) -> AsyncIterator[Port]:
    at = Port(places)
    (listener,) = await listening("127.0.0.1", 0, at.admission, allows)
    if is_deferred:
        defer_accept(listener)
    if takes is not None:
        listener.takes = takes
    async with await asyncio.start_server(at.keep, sock=listener, backlog=BACKLOG):
        at.number = listener.getsockname()[1]
        yield at
        at.abort()
        await until(lambda: len(at.admission) == 0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_connection_counts_from_the_accept_to_the_close() -> None:
    async with port(Places(10, 10, 10)) as at:
        client = await at.connect()
        await until(lambda: len(at.accepted) == 1)
        assert (len(at.admission), at.admission.waiting) == (1, 1)
        at.serve_all()
        assert (len(at.admission), at.admission.waiting) == (1, 0)
        client.abort()
        await until(lambda: len(at.admission) == 0)


async def test_a_full_port_closes_connections_at_once_and_recovers() -> None:
    async with port(Places(2, 2, 2)) as at:
        held = [await at.connect() for _ in range(2)]
        await until(lambda: len(at.accepted) == 2)
        at.serve_all()
        assert await (await at.connect()).at_eof()
        held[0].abort()
        await until(lambda: len(at.admission) == 1)
        await at.connect()
        await until(lambda: len(at.accepted) == 3)


async def test_a_silent_client_of_a_deferred_port_is_accepted_as_well() -> None:
    async with port(Places(9, 9, 9), is_deferred=True) as at:
        await at.connect()
        speaking = await at.connect()
        await speaking.send(b"GET")
        await until(lambda: len(at.accepted) == 2)
        first, second = (writer.get_extra_info("peername") for writer in at.accepted)
        assert first != second


async def test_an_error_at_the_accept_gives_the_place_back() -> None:
    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context["exception"]))
    error = ValueError("of this test")

    def fails(_connection: socket.socket) -> bool:
        raise error

    async with port(Places(9, 9, 9), takes=fails) as at:
        assert await (await at.connect()).at_eof()
        assert reports == [error]
        assert len(at.admission) == 0


async def test_a_connection_that_nobody_reads_gives_its_place_back_when_it_has_to_make_room() -> None:
    taken: list[socket.socket] = []

    def takes(connection: socket.socket) -> bool:
        taken.append(connection)
        return True

    async with port(Places(2, 2, 2), takes=takes) as at:
        clients = [await at.connect() for _ in range(4)]
        await until(lambda: len(taken) == len(clients))
        assert [connection.fileno() >= 0 for connection in taken] == [False, False, True, True]
        assert len(at.admission) == 2
        assert await clients[0].at_eof()
        for connection in taken:
            connection.close()


async def test_only_peers_that_may_connect_without_tls_are_accepted() -> None:
    async with port(Places(9, 9, 9), lambda host: host == "127.0.0.2") as at:
        assert await (await at.connect()).at_eof()
        await at.connect(source="127.0.0.2")
        await until(lambda: len(at.accepted) == 1)


async def test_without_descriptors_accepting_pauses_and_continues_later(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0
    is_exhausted = True
    plain_accept = socket.socket.accept

    def accept(self: socket.socket) -> object:
        nonlocal attempts
        attempts += 1
        if is_exhausted:
            raise OSError(errno.EMFILE, "Too many open files")
        return plain_accept(self)

    reports: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reports.append(context["message"]))
    async with port(Places(9, 9, 9)) as at:
        monkeypatch.setattr(socket.socket, "accept", accept)
        await at.connect()
        await until(lambda: attempts >= 2)
        # Without the pause, asyncio calls accept BACKLOG times and reports each failure.
        assert attempts == len(reports) < 10
        is_exhausted = False
        await until(lambda: len(at.accepted) == 1)


async def test_a_taken_connection_that_makes_room_is_closed_and_not_reset() -> None:
    """Its request is unread, which would make the kernel send RST."""
    loop, clients = asyncio.get_running_loop(), list[socket.socket]()
    refusals = EarlyRefusals(lambda: True, lambda _: b"429", LateAnswers(delay_s=3600.0))
    with closing(refusals) as early, ExitStack() as exits:
        async with port(Places(10, 10, 1), takes=early.takes, is_deferred=True) as at:
            for _ in range(3):
                client = exits.enter_context(socket.create_connection(("127.0.0.1", at.number)))
                client.sendall(b"GET /ws HTTP/1.1\r\n\r\n")
                client.setblocking(False)
                clients.append(client)
            async with asyncio.timeout(60):
                assert [await loop.sock_recv(each, 100) for each in clients[:2]] == [b"", b""]
            assert len(at.admission) == 1
            early.close()
