"""The thread that owns the connection of the SQLite store, and its bounded queue.

Work is done in the order in which it came. Writes that wait together share one transaction, because each transaction
costs more than the write in it: under load, a final waits for one commit instead of one for each write before it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeVar

from gateway.store.base import MAX_PENDING_WRITES, SessionUnknownError, StoreError

T = TypeVar("T")

# Of this many writes, each with one or two statements, a transaction takes about 10 ms.
_BATCH: Final = 128


class QueueFullError(StoreError):
    """Too many writes are waiting."""


class _Write(NamedTuple):
    work: Callable[[], None]
    future: Future[None]


class SqliteQueue:
    """Runs work on a thread of its own. `open` connects there; the connection is only for work in this queue.

    A write that fails because the disk is full or the file is locked is reported and kept, and so are the writes after
    it, up to MAX_PENDING_WRITES. They are repeated in order before the next write, by `repeat_failed`, and on closing.
    """

    db: sqlite3.Connection

    def __init__(self, written: Callable[[int], None]) -> None:
        """`written` is called on the thread after each transaction, with the number of writes in it."""
        self._written = written
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        # Guards the two fields below, which the event loop and the thread change.
        self._lock = threading.Lock()
        self._waiting = 0
        self._batch: list[_Write] | None = None
        self._failed: deque[Callable[[], None]] = deque()  # the thread owns it

    async def open(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """Connect. Raises StoreError."""

        def work() -> None:
            self.db = connect()

        await self.ask(work)

    async def close(self) -> None:
        """Finish the queued work, close the connection and end the thread."""

        def finish() -> None:
            if not hasattr(self, "db"):
                return  # it could not be opened
            with suppress(sqlite3.OperationalError):
                self.repeat_failed()
            self.db.close()

        await self.ask(finish)
        self._thread.shutdown(wait=False)

    async def ask(self, work: Callable[[], T], limit: int | None = MAX_PENDING_WRITES) -> T:
        """Run work, and wait for it. Raises what `submit` says."""
        return await asyncio.wrap_future(self.submit(work, limit))

    def submit(self, work: Callable[[], T], limit: int | None = MAX_PENDING_WRITES) -> Future[T]:
        """Queue work behind everything before it; its transactions are its own.

        The future fails with QueueFullError if `limit` pieces of work are waiting, with StoreError if SQLite fails.
        """
        with self._lock:
            if not self._has_room(limit):
                return _refused()
            self._batch = None  # later writes must not overtake this
            self._waiting += 1
        return self._thread.submit(self._run, work)

    def write(self, work: Callable[[], None]) -> Future[None]:
        """Queue a write: statements that belong to one transaction, others before and after them in it.

        It may raise SessionUnknownError before its first change. The future fails as that of `submit`.
        """
        future: Future[None] = Future()
        with self._lock:
            if not self._has_room(MAX_PENDING_WRITES):
                return _refused()
            self._waiting += 1
            if self._batch is None or len(self._batch) >= _BATCH:
                self._batch = []
                self._thread.submit(self._run_batch, self._batch)
            self._batch.append(_Write(work, future))
        return future

    def repeat_failed(self) -> None:
        """For work: execute the writes that failed before. Raises sqlite3.OperationalError if that still fails."""
        while self._failed:
            with suppress(SessionUnknownError):  # the session was deleted meanwhile
                self._alone(self._failed[0])
            self._failed.popleft()

    @property
    def pending(self) -> int:
        """Work that waits or is under way, and failed writes that will be repeated."""
        with self._lock:
            return self._waiting + len(self._failed)

    def _has_room(self, limit: int | None) -> bool:
        return limit is None or self._waiting < limit

    def _run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (sqlite3.Error, OSError) as error:
            raise _store_error(error) from None
        finally:
            self._done(1)

    def _run_batch(self, batch: list[_Write]) -> None:
        with self._lock:
            if self._batch is batch:
                self._batch = None
        writes = [write for write in batch if write.future.set_running_or_notify_cancel()]
        try:
            outcomes = self._together(writes)
        except Exception:  # noqa: BLE001 - the outermost edge of the thread: each write gets its own error below
            outcomes = [self._in_order(write.work) for write in writes]
        self._done(len(batch))
        for write, outcome in zip(writes, outcomes, strict=True):
            if outcome is None:
                write.future.set_result(None)
            else:
                write.future.set_exception(outcome)
        self._written(len(writes))

    def _together(self, writes: Sequence[_Write]) -> list[Exception | None]:
        """Execute all in one transaction. Raises sqlite3.Error if one of them fails; then none is executed."""
        self.repeat_failed()
        with self._transaction():
            return [_attempt(write.work) for write in writes]

    def _in_order(self, work: Callable[[], None]) -> Exception | None:
        """Execute the writes that failed before, then this one. If that is not possible now, keep it for later."""
        try:
            self.repeat_failed()
            self._alone(work)
        except sqlite3.OperationalError as error:
            if len(self._failed) >= MAX_PENDING_WRITES:
                return QueueFullError("too many writes are waiting")
            self._failed.append(work)
            return _store_error(error)
        except (sqlite3.Error, OSError) as error:
            return _store_error(error)
        except Exception as error:  # noqa: BLE001 - as above
            return error
        return None

    def _alone(self, work: Callable[[], None]) -> None:
        with self._transaction():
            work()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the write lock from the first read on: what a write checks stays true until its commit."""
        with self.db:
            self.db.execute("BEGIN IMMEDIATE")
            yield

    def _done(self, count: int) -> None:
        with self._lock:
            self._waiting -= count


def _attempt(work: Callable[[], None]) -> SessionUnknownError | None:
    try:
        work()
    except SessionUnknownError as error:
        return error
    return None


def _store_error(error: Exception) -> StoreError:
    """The library's text may quote values, so only the name of the error is passed on."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StoreError(f"the transcript store failed ({name})")


def _refused() -> Future[T]:
    refused: Future[T] = Future()
    refused.set_exception(QueueFullError("too many writes are waiting"))
    return refused
