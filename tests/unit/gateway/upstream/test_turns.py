"""Turns: one stream at a time, in the order in which they came, for the shorter the more of them wait."""

from __future__ import annotations

import asyncio

from gateway.upstream.turns import Turns


async def settle() -> None:
    """Let every task come as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_at_a_time_in_order_also_where_one_gives_up() -> None:
    turns = Turns()
    had: list[tuple[int, float]] = []
    go_on = asyncio.Semaphore(0)

    async def stream(number: int) -> None:
        async with turns.take():
            had.append((number, turns.seconds))
            await go_on.acquire()

    tasks = [asyncio.create_task(stream(number)) for number in range(4)]
    await settle()
    assert [number for number, _ in had] == [0]
    tasks[1].cancel()
    for _ in range(3):
        go_on.release()
        await settle()
    assert [number for number, _ in had] == [0, 2, 3]
    assert tasks[1].cancelled()
    await asyncio.gather(tasks[0], *tasks[2:])


async def test_a_long_line_has_short_turns() -> None:
    turns = Turns()
    async with turns.take():
        assert turns.seconds == 0.1
        line = [asyncio.create_task(turns.take().__aenter__()) for _ in range(99)]
        await settle()
        assert turns.seconds == 0.01
        for task in line:
            task.cancel()
        await asyncio.gather(*line, return_exceptions=True)
        assert turns.seconds == 0.1
