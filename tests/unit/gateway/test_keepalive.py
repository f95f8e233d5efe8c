"""When the gateway takes a client for dead: it answers no ping, and its frames are not waiting here to be read."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.keepalive import Keepalive, Reading


class SilentSocket:
    """A socket whose other end answers no ping, and how far the gateway has read it."""

    def __init__(self, busy_pings: int, *, is_paused_before: bool, reads: bool = False) -> None:
        self.reading = Reading(0, 0, is_paused=is_paused_before)
        self.pings = 0
        self.aborted = asyncio.Event()
        self.transport = SimpleNamespace(abort=self.aborted.set)
        self._busy_pings = busy_pings
        self._reads = reads

    async def ping(self) -> asyncio.Future[float]:
        self.pings += 1
        if self.pings <= self._busy_pings:
            self._read_a_little()
        return asyncio.get_running_loop().create_future()

    def _read_a_little(self) -> None:
        reading = self.reading
        if self._reads:
            self.reading = reading._replace(received=reading.received + 1)
        elif reading.is_paused:
            self.reading = reading._replace(is_paused=self.pings < self._busy_pings)
        else:
            self.reading = reading._replace(pauses=reading.pauses + 1)  # began and ended


@pytest.mark.parametrize(
    ("busy_pings", "is_paused_before", "reads"),
    [(0, False, False), (1, True, False), (3, True, False), (3, False, False), (2, False, True)],
    ids=["silent", "paused until just now", "paused three times", "a pause within", "still read"],
)
async def test_a_client_is_dropped_for_its_own_silence_only(
    busy_pings: int, is_paused_before: bool, reads: bool
) -> None:
    """While the first pings wait, the reader is held up by the workers, and continues just before time is up."""
    socket = SilentSocket(busy_pings, is_paused_before=is_paused_before, reads=reads)
    stand_in: Any = socket
    keepalive = Keepalive(stand_in, 0.01, 0.01, lambda: socket.reading)
    async with asyncio.timeout(30):
        await socket.aborted.wait()
    assert socket.pings == busy_pings + 1
    keepalive.stop()


async def test_a_stopped_keepalive_sends_nothing_more() -> None:
    socket = SilentSocket(1000, is_paused_before=False)
    stand_in: Any = socket
    keepalive = Keepalive(stand_in, 0.01, 0.01, lambda: socket.reading)
    async with asyncio.timeout(30):
        while not socket.pings:
            await asyncio.sleep(0.005)
    keepalive.stop()
    pings = socket.pings
    await asyncio.sleep(0.1)
    assert socket.pings == pings
