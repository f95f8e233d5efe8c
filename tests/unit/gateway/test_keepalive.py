"""When the gateway takes a client for dead: it answers no ping, and its frames are not waiting here to be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.connection import Connection


class SilentSocket:
    """A socket whose other end answers no ping. `on_ping` is called with the number of each."""

    def __init__(self, on_ping: Callable[[int], None]) -> None:
        self.pings = 0
        self.aborted = asyncio.Event()
        self.transport = SimpleNamespace(abort=self.aborted.set)
        self._on_ping = on_ping

    async def ping(self) -> asyncio.Future[float]:
        self.pings += 1
        self._on_ping(self.pings)
        return asyncio.get_running_loop().create_future()


def connection_of(socket: SilentSocket) -> Connection:
    config = SimpleNamespace(outbox_messages=8, outbox_bytes=8_000, ping_interval_s=0.01, ping_timeout_s=0.01)
    context: Any = SimpleNamespace(config=config, clock=time.time)
    stand_in: Any = socket
    nothing: Any = None
    return Connection(stand_in, context, nothing, nothing)


@pytest.mark.parametrize(
    ("busy_pings", "is_paused_before"),
    [(0, False), (1, True), (3, True), (3, False)],
    ids=["silent", "paused until just now", "paused three times", "a pause within"],
)
async def test_a_client_is_dropped_for_its_own_silence_only(busy_pings: int, is_paused_before: bool) -> None:
    """While the first pings wait, the reader is held up by the workers, and goes on just before time is up."""

    def on_ping(number: int) -> None:
        if number > busy_pings:
            return
        if is_paused_before:
            connection._paused = number < busy_pings
        else:
            connection._pauses += 1  # began and ended

    socket = SilentSocket(on_ping)
    connection = connection_of(socket)
    connection._paused = is_paused_before
    async with asyncio.timeout(30):
        keepalive = asyncio.create_task(connection._keepalive())
        await socket.aborted.wait()
        await keepalive
    assert socket.pings == busy_pings + 1
