"""The writer: what gathers travels together, a single entry at once, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from multiplex.outbox import Outbox
from multiplex.writer import BatchWriter


class Link:
    """An RPC that takes a batch when it is told to."""

    def __init__(self, pause: float = 0.0) -> None:
        self.outbox: Outbox[int] = Outbox(2**31)
        self.writer = BatchWriter(self.outbox, self._write, pause)
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.written = asyncio.Event()

    async def _write(self, batch: list[int]) -> None:
        self.batches.append(batch)
        self.written.set()
        await self.open.wait()

    def put(self, entry: int, size: int = 0) -> None:
        self.outbox.put(entry, size)
        self.writer.wake()

    async def batch(self) -> None:
        """Wait for the next batch."""
        async with asyncio.timeout(10):
            await self.written.wait()
        self.written.clear()


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[None]:
    task = asyncio.create_task(link.writer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_what_comes_during_a_write_travels_in_the_next_batch() -> None:
    link = Link()
    async with running(link):
        link.open.clear()
        link.put(1)
        await link.batch()
        for entry in (2, 3, 4):
            link.put(entry)
        link.open.set()
        await link.batch()
    assert link.batches == [[1], [2, 3, 4]]


async def test_the_first_entry_goes_at_once_and_the_next_ones_gather_during_the_pause() -> None:
    link = Link(pause=0.5)
    async with running(link):
        link.put(1)
        await link.batch()
        link.put(2)
        await asyncio.sleep(0)
        link.put(3)
        assert link.batches == [[1]]
        await link.batch()
    assert link.batches == [[1], [2, 3]]


async def test_waking_without_entries_writes_nothing() -> None:
    link = Link()
    async with running(link):
        for _ in range(3):
            link.writer.wake()
            await asyncio.sleep(0)
        link.put(1)
        await link.batch()
    assert link.batches == [[1]]


async def test_a_full_outbox_wakes_its_senders_when_a_batch_has_left() -> None:
    link = Link()
    while not link.outbox.full:
        link.outbox.put(0, 10_000)
    waiting = link.writer.when_writable()
    await asyncio.sleep(0)
    assert not waiting.done()
    async with running(link):
        async with asyncio.timeout(10):
            await waiting
    assert not link.outbox.full


async def test_the_end_of_the_link_wakes_its_senders() -> None:
    link = Link()
    waiting = [link.writer.when_writable() for _ in range(3)]
    waiting[1].cancel()
    link.writer.unblock()
    assert all(each.done() for each in waiting)


async def test_a_write_that_fails_ends_the_writer() -> None:
    async def fail(_batch: list[int]) -> None:
        raise ConnectionError

    outbox: Outbox[int] = Outbox(2**31)
    outbox.put(1)
    with pytest.raises(ConnectionError):
        await BatchWriter(outbox, fail).run()
