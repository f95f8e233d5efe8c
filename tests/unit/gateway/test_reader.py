"""From a socket to its connection: at once while nothing waits, else in order, and nothing that arrived is lost."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest

from gateway.reader import FAIR_SHARE, SocketReader, Work

PATIENCE_S = 60.0


class Line:
    """A socket that keeps what waits, and a connection that may need time after a message."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.handled: list[str | bytes] = []
        self.work: dict[str, Work] = {}
        self.fault: Exception | None = None
        self.ends: list[Exception | None] = []
        self.reader = SocketReader(self, self._handle, self.ends.append)

    @property
    def has_message(self) -> bool:
        return bool(self.waiting)

    async def take_message(self) -> str | bytes | None:
        return self.waiting.popleft()

    def receive(self, *messages: str) -> None:
        """Messages arrive as at a socket: passed on, or kept and announced."""
        for message in messages:
            if self.reader.is_free and not self.waiting:
                self.reader.pass_on(message)
            else:
                self.waiting.append(message)
                self.reader.wake()

    def _handle(self, message: str | bytes) -> Work | None:
        self.handled.append(message)
        if self.fault is not None:
            raise self.fault
        return self.work.pop(str(message), None)


async def until_idle(line: Line) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not line.reader.is_free or line.waiting:
            await asyncio.sleep(0)


async def test_a_message_is_handled_at_once_and_without_a_task() -> None:
    line, tasks = Line(), asyncio.all_tasks()
    line.receive("a", "b")
    assert line.handled == ["a", "b"]
    assert asyncio.all_tasks() == tasks


async def test_messages_wait_in_order_for_the_work_of_an_earlier_one() -> None:
    line, done = Line(), asyncio.Event()
    line.work["a"] = done.wait
    line.receive("a", "b", "c")
    await asyncio.sleep(0)
    assert line.handled == ["a"]
    done.set()
    await until_idle(line)
    line.receive("d")
    assert line.handled == ["a", "b", "c", "d"]


async def test_others_have_their_turn_while_much_is_read() -> None:
    line, seen = Line(), []
    line.waiting.extend(str(number) for number in range(3 * FAIR_SHARE))
    line.reader.wake()
    while line.waiting:
        await asyncio.sleep(0)
        seen.append(len(line.handled))
    assert max(later - earlier for earlier, later in zip([0, *seen], seen, strict=False)) <= FAIR_SHARE


async def test_what_waits_when_the_socket_is_lost_is_still_handled() -> None:
    line, done = Line(), asyncio.Event()
    line.work["a"] = done.wait
    line.receive("a", "b")
    line.reader.lost()
    assert line.ends == []
    done.set()
    await until_idle(line)
    assert line.handled == ["a", "b"]
    assert line.ends == [None]


async def test_an_idle_socket_that_is_lost_is_over_at_once() -> None:
    line = Line()
    line.reader.lost()
    assert line.ends == [None]


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "from the task"])
async def test_an_error_ends_the_connection_and_nothing_more_is_handled(is_late: bool) -> None:
    line = Line()
    line.fault = ValueError("a fault of the gateway")
    if is_late:
        line.waiting.append("a")
        line.reader.wake()
        await asyncio.sleep(0)
    else:
        line.receive("a")
    line.receive("b")
    await asyncio.sleep(0)
    assert line.ends == [line.fault]
    assert line.handled == ["a"]


async def test_a_reader_that_was_stopped_reads_nothing_more() -> None:
    line = Line()
    line.work["a"] = asyncio.Event().wait
    line.receive("a", "b")
    await line.reader.stop()
    line.receive("c")
    assert line.handled == ["a"]
