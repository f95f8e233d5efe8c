"""One WebSocket: when its silence means that it is broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from talkup_client.transport import PING_INTERVAL_S, Transport, TransportClosedError, open_transport
from websockets.asyncio.server import ServerConnection, serve

from bench.harness.schema_check import Ledger


class HeldBack:
    """A server that stops reading, as a gateway does whose workers are behind; `say` has it send a message."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[ServerConnection] = asyncio.Queue()
        self._over = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        async with serve(self._serve, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as server:
            yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
            self._over.set()

    async def _serve(self, peer: ServerConnection) -> None:
        peer.transport.pause_reading()
        self.peers.put_nowait(peer)
        await self._over.wait()


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[tuple[float, asyncio.Future[None]]] = asyncio.Queue()

    async def sleep(self, seconds: float) -> None:
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.put_nowait((seconds, passed))
        await passed

    async def passes(self) -> float:
        seconds, passed = await self.waiting.get()
        passed.set_result(None)
        return seconds


async def test_a_gateway_that_does_not_read_but_writes_is_alive(what_the_client_hears: Ledger) -> None:
    server, clock = HeldBack(), Clock()
    async with asyncio.timeout(30), server.serving() as url:
        transport: Transport = await open_transport(url, {}, None, timeout_s=10, sleep=clock.sleep)
        peer = await server.peers.get()
        for number in range(3):
            assert await clock.passes() == PING_INTERVAL_S  # then a ping is sent, which nobody reads
            _, patience = await clock.waiting.get()
            await peer.send(f"flow {number}")
            assert await transport.receive() == f"flow {number}"
            patience.set_result(None)
        await clock.passes()
        await clock.passes()  # nothing came meanwhile
        with pytest.raises(TransportClosedError) as closed:
            await transport.receive()
        assert closed.value.code == 1006
        peer.transport.abort()
    what_the_client_hears.faults.clear()  # these servers do not speak the protocol


async def test_an_answered_ping_keeps_a_quiet_connection(what_the_client_hears: Ledger) -> None:
    clock = Clock()

    async def quiet(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(message)

    async with asyncio.timeout(30), serve(quiet, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"
        transport = await open_transport(url, {}, None, timeout_s=10, sleep=clock.sleep)
        for _ in range(3):
            assert await clock.passes() == PING_INTERVAL_S
            await clock.waiting.get()  # the patience, which the pong ends
        await transport.send("still there")
        assert await transport.receive() == "still there"
        await transport.close()
    what_the_client_hears.faults.clear()
