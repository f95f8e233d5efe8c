"""The queue of the SQLite store: order, shared transactions, and failures that concern one write only."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gateway.store.base import MAX_PENDING_WRITES, SessionUnknownError, StoreError
from gateway.store.sqlite_checkpoints import Checkpoints
from gateway.store.sqlite_file import connect, prepare
from gateway.store.sqlite_queue import SqliteQueue

PATIENCE_S = 10.0


class Rig:
    """A queue with a table of numbers; `commits` has the number of writes in each transaction."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.queue = SqliteQueue(self.commits.append)

    def insert(self, number: int) -> Future[None]:
        return self.queue.write(lambda: self._insert(number))

    def _insert(self, number: int) -> None:
        self.queue.db.execute("INSERT INTO numbers VALUES (?)", (number,))

    async def numbers(self) -> list[int]:
        return await self.queue.ask(lambda: [row[0] for row in self.queue.db.execute("SELECT n FROM numbers")])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the thread busy, so that work waits."""
        gate = threading.Event()
        self.queue.submit(gate.wait)
        try:
            yield
        finally:
            gate.set()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()

    def connection() -> sqlite3.Connection:
        db = connect(None)
        db.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY CHECK (n > 0))")
        return db

    await rig.queue.open(connection)
    yield rig
    await rig.queue.close()


async def done(*writes: Future[None]) -> list[BaseException | None]:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*map(asyncio.wrap_future, writes), return_exceptions=True)


async def test_writes_that_wait_together_share_a_transaction(rig: Rig) -> None:
    with rig.held():
        writes = [rig.insert(number) for number in range(1, 101)]
    assert await done(*writes) == [None] * 100
    assert await rig.numbers() == list(range(1, 101))
    assert rig.commits == [100]


async def test_a_long_queue_takes_several_transactions(rig: Rig) -> None:
    with rig.held():
        writes = [rig.insert(number) for number in range(1, 301)]
    assert await done(*writes) == [None] * 300
    assert len(await rig.numbers()) == 300
    assert len(rig.commits) == 3
    assert sum(rig.commits) == 300


async def test_work_sees_all_writes_before_it_and_none_after_it(rig: Rig) -> None:
    with rig.held():
        rig.insert(1)
        first = asyncio.create_task(rig.numbers())
        await asyncio.sleep(0)
        rig.insert(2)
        second = asyncio.create_task(rig.numbers())
        await asyncio.sleep(0)
    assert await first == [1]
    assert await second == [1, 2]


async def test_a_write_that_fails_takes_no_other_with_it(rig: Rig) -> None:
    def unknown() -> None:
        raise SessionUnknownError("the store does not know the stream")

    def faulty() -> None:
        raise KeyError("a fault of the program")

    with rig.held():
        writes = [
            rig.insert(1),
            rig.queue.write(unknown),
            rig.insert(2),
            rig.insert(-1),
            rig.queue.write(faulty),
            rig.insert(3),
        ]
    outcomes = await done(*writes)
    assert [type(outcome) for outcome in outcomes] == [
        *(type(None), SessionUnknownError, type(None), StoreError, KeyError, type(None))
    ]
    assert str(outcomes[3]) == "the transcript store failed (SQLITE_CONSTRAINT_CHECK)"
    assert await rig.numbers() == [1, 2, 3]


async def test_a_cancelled_write_is_left_out(rig: Rig) -> None:
    with rig.held():
        kept, dropped = rig.insert(1), rig.insert(2)
        assert dropped.cancel()
    await done(kept)
    assert await rig.numbers() == [1]


async def test_a_full_queue_refuses_writes_and_takes_them_again(rig: Rig) -> None:
    with rig.held():
        writes = [rig.insert(number) for number in range(1, MAX_PENDING_WRITES)]
        [refused] = await done(rig.insert(MAX_PENDING_WRITES))
    assert str(refused) == "too many writes are waiting"
    await done(*writes)
    assert await done(rig.insert(MAX_PENDING_WRITES)) == [None]


def test_checkpoints_copy_the_log_into_the_file(tmp_path: Path) -> None:
    """One that finds the log in use copies nothing; the next one, 500 writes later, does."""
    path = tmp_path / "t.db"
    with closing(connect(path)) as db:
        prepare(db)
        before = path.stat().st_size
        for _ in range(5):
            checkpoints = Checkpoints(path, lambda: connect(path))
            for _ in range(3):
                _fill_and_empty(db)
                checkpoints.count(db, 401)
            checkpoints.close()
            if path.stat().st_size > before:
                break
        assert path.stat().st_size > before
        [is_busy, frames, copied] = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        assert (is_busy, copied) == (0, frames)


def _fill_and_empty(db: sqlite3.Connection) -> None:
    for number in range(400):
        with db:
            db.execute(
                "INSERT INTO sessions (session_id, created_at, touched_at) VALUES (?, 0, 0)", (str(number) + "x" * 200,)
            )
    with db:
        db.execute("DELETE FROM sessions")
