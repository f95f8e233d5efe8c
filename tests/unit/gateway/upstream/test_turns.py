"""Turns: one stream at a time, in order of arrival; the more streams wait, the shorter each turn is."""

from __future__ import annotations

import asyncio

from gateway.upstream.turns import Turns


async def settle() -> None:
    """Let every task run until it blocks."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_at_a_time_in_order_even_if_one_gives_up() -> None:
    turns = Turns()
    turns_taken: list[tuple[int, float]] = []
    proceed = asyncio.Semaphore(0)

    async def stream(number: int) -> None:
        async with turns.acquire():
            turns_taken.append((number, turns.duration))
            await proceed.acquire()

    tasks = [asyncio.create_task(stream(number)) for number in range(4)]
    await settle()
    assert [number for number, _ in turns_taken] == [0]
    tasks[1].cancel()
    for _ in range(3):
        proceed.release()
        await settle()
    assert [number for number, _ in turns_taken] == [0, 2, 3]
    assert tasks[1].cancelled()
    await asyncio.gather(tasks[0], *tasks[2:])


async def test_a_long_queue_has_short_turns() -> None:
    turns = Turns()
    async with turns.acquire():
        assert turns.duration == 0.1
        queue = [asyncio.create_task(turns.acquire().__aenter__()) for _ in range(99)]
        await settle()
        assert turns.duration == 0.01
        for task in queue:
            task.cancel()
        await asyncio.gather(*queue, return_exceptions=True)
        assert turns.duration == 0.1
