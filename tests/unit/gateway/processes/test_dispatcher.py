"""Connections go to the process that has the fewest, and none gets lost on its way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from gateway.admission import Admission, Places
from gateway.listening import bind
from gateway.metrics import Metrics
from gateway.processes.dispatcher import Dispatcher, Seat
from gateway.processes.handed import HandedSocket

PATIENCE_S = 20.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Process:
    """What a process does with its door: a server that answers every line with its name."""

    def __init__(self, name: str, clock: Clock, places: Places) -> None:
        ours, theirs = socket.socketpair()
        self.name = name
        self.metrics = Metrics()
        self.seat = Seat(ours, clock)
        self.door = HandedSocket(theirs.family, theirs.type, theirs.proto, fileno=theirs.detach())
        self.door.address = ("127.0.0.1", 1234)
        self.door.admission = Admission("websocket", places, self.metrics, clock)
        self.door.allows = lambda _: True
        self.door.changed = lambda: self.seat.update(self.door.taken, self.door.closed)
        self.peers: list[tuple[str, int]] = []
        self.sends_at_once: list[bool] = []
        self.server: asyncio.Server | None = None

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername"))
        connection = writer.get_extra_info("socket")
        self.sends_at_once.append(bool(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
        while await reader.readline():
            writer.write(f"{self.name}\n".encode())
        writer.close()
        await writer.wait_closed()

    async def serve(self) -> None:
        self.server = await asyncio.start_server(self.answer, sock=self.door)

    async def end(self) -> None:
        if self.server is not None:
            self.server.close()
        self.door.close()
        self.seat.close()


class Client:
    """A connection, and which process it has reached."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def server(self) -> str:
        self.writer.write(b"who\n")
        async with asyncio.timeout(PATIENCE_S):
            return (await self.reader.readline()).decode().strip()

    async def leave(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class House:
    """A door with processes behind it, and its clients."""

    def __init__(self, door: Dispatcher, clock: Clock, exits: AsyncExitStack) -> None:
        self.door, self.clock, self._exits = door, clock, exits
        self.processes: list[Process] = []

    async def add(self, *, serves: bool = True, places: Places | None = None) -> Process:
        process = Process(str(len(self.processes)), self.clock, places or Places(1000, 1000, 1000))
        if serves:
            await process.serve()
        self.door.seats[len(self.processes)] = process.seat
        self.processes.append(process)
        self._exits.push_async_callback(process.end)
        return process

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.door.address))
        self._exits.push_async_callback(client.leave)
        return client


@asynccontextmanager
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as exits:
        door = Dispatcher("ws", await bind("127.0.0.1", 0, socket.socket))
        exits.callback(door.close)
        door.listen()
        yield House(door, Clock(), exits)


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("processes", [2, 3])
async def test_every_process_gets_the_same_number(processes: int) -> None:
    async with house() as at:
        for _ in range(processes):
            await at.add()
        clients = [await at.connect() for _ in range(10 * processes)]
        served = [await client.server() for client in clients]
        assert {served.count(process.name) for process in at.processes} == {10}
        names = {client.writer.get_extra_info("sockname") for client in clients}
        assert {peer for process in at.processes for peer in process.peers} == names


async def test_who_has_lost_its_connections_gets_the_next_ones() -> None:
    async with house() as at:
        first, second = await at.add(), await at.add()
        clients = [await at.connect() for _ in range(8)]
        for client in clients:
            if await client.server() == first.name:
                await client.leave()
        await until(lambda: first.seat.load == 0)
        assert second.seat.load == 4
        assert [await (await at.connect()).server() for _ in range(4)] == [first.name] * 4


async def test_a_process_that_takes_nothing_is_skipped() -> None:
    async with house() as at:
        stuck, well = await at.add(serves=False), await at.add()
        waiting = await at.connect()  # goes to the first, which does not take it
        await until(lambda: stuck.seat.load == 1)
        at.clock.now += 2.0
        assert [await (await at.connect()).server() for _ in range(5)] == [well.name] * 5
        await stuck.serve()
        assert await waiting.server() == stuck.name
        await until(lambda: not stuck.seat.is_stuck)
        assert await (await at.connect()).server() == stuck.name


async def test_a_connection_waits_while_there_is_no_process() -> None:
    async with house() as at:
        clients = [await at.connect() for _ in range(3)]
        process = await at.add()
        assert [await client.server() for client in clients] == [process.name] * 3


async def test_small_messages_are_sent_at_once_in_a_connection_that_was_handed_over() -> None:
    """Not only when the client has acknowledged the one before (TCP_NODELAY)."""
    async with house() as at:
        process = await at.add()
        assert await (await at.connect()).server() == process.name
        assert process.sends_at_once == [True]


async def test_a_process_that_is_gone_gets_nothing() -> None:
    async with house() as at:
        gone, left = await at.add(), await at.add()
        await gone.end()
        assert [await (await at.connect()).server() for _ in range(3)] == [left.name] * 3


async def test_a_connection_without_a_place_is_counted_and_closed() -> None:
    async with house() as at:
        process = await at.add(places=Places(total=1, waiting=1, per_address=1, leaving=0))
        await (await at.connect()).server()
        visitor = process.door.admission.find(process.peers[0])
        assert visitor is not None
        process.door.admission.serve(visitor)
        refused = await at.connect()
        async with asyncio.timeout(PATIENCE_S):
            assert await refused.reader.read() == b""
        assert (process.door.taken, process.door.closed, process.seat.load) == (2, 1, 1)


async def test_a_process_whose_supervisor_is_gone_stops_asking_for_connections() -> None:
    async with house() as at:
        process = await at.add()
        client = await at.connect()
        await client.server()
        process.seat.close()
        calls = 0
        asked = process.door._next

        def counted() -> object:
            nonlocal calls
            calls += 1
            return asked()

        process.door._next = counted  # type: ignore[method-assign, assignment]
        await until(lambda: calls >= 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert calls == 1
        assert await client.server() == process.name
