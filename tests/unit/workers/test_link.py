"""A link of a worker whose gateway does not play along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from talkup.v1 import error_pb2, link_pb2

from workers.errors import RefusedError
from workers.link import Link, LinkedCall, LinkPlaces

BATCHES = 32
CALLS = 1_000


async def refuse(_call: LinkedCall) -> None:
    raise RefusedError(error_pb2.ERROR_CODE_BUSY, "full")


async def test_a_gateway_that_opens_calls_and_reads_no_answers_is_read_no_further() -> None:
    may_write = asyncio.Event()
    read = answered = 0

    async def write(batch: link_pb2.TaskResultBatch) -> None:
        nonlocal answered
        await may_write.wait()
        answered += len(batch.entries)

    async def batches() -> AsyncIterator[link_pb2.TaskBatch]:
        nonlocal read
        for batch in range(BATCHES):
            await asyncio.sleep(0)
            read += 1
            numbers = range(1 + batch * CALLS, 1 + (batch + 1) * CALLS)
            yield link_pb2.TaskBatch(entries=[link_pb2.TaskEntry(call=n, open=link_pb2.CallOpen()) for n in numbers])
        while answered < BATCHES * CALLS:
            await asyncio.sleep(0.001)

    running = asyncio.create_task(Link(refuse, LinkPlaces(CALLS), 4 << 20, write).run(batches()))
    for _ in range(40 * BATCHES):
        await asyncio.sleep(0)
    # 1 MiB of answers, each counted as 128 bytes and its error, and what was read before the last of them were there.
    assert 8 <= read <= 16
    may_write.set()
    async with asyncio.timeout(60):
        await running
    assert (read, answered) == (BATCHES, BATCHES * CALLS)
