"""The store of a gateway on one machine: a SQLite file."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gateway.analyses import StoredAnalysis
from gateway.store.base import (
    RENEWALS_STOP_AT,
    LossReason,
    SessionUnknownError,
    StoredSession,
    StoredStream,
    StreamStart,
    ignore_forgotten,
    transcript_of,
)
from gateway.store.sqlite_checkpoints import Checkpoints
from gateway.store.sqlite_file import connect, mark_deletion, prepare, remove_remains
from gateway.store.sqlite_queue import QueueFullError, SqliteQueue
from gateway.transcript import Segment, Transcript, Word

T = TypeVar("T")

# A final that comes while a batch of renewals runs waits for at most this many updates: 2 to 5 ms.
_TOUCH_BATCH: Final = 500
# How often a large file is rewritten because transcripts reached the end of their retention.
_REMOVE_EVERY_S: Final = 3600.0
_WORDS = tuple[Word, ...]
_Statement = tuple[str, tuple[object, ...]]


class SqliteStore:
    """Transcripts in one SQLite file. It has a write-ahead log, so a commit survives the death of the process.

    A write that fails because the disk is full or the file is locked is kept, see SqliteQueue. It is repeated before
    the next write, in the next sweep, and on closing.
    """

    # How long the removal of deleted text, and the writes behind it, wait for another program that uses the file.
    _patience_ms = 0

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time, token_ttl_s: float = 0.0) -> None:
        """Only one process may use the file (several: SharedSqliteStore). `path` None keeps everything in memory.

        The ids of sessions that were deleted, or whose retention is over, stay for `token_ttl_s`.
        """
        self._path = path
        self._clock = clock
        self._token_ttl_s = token_ttl_s
        self._queue = SqliteQueue(self._count_writes)
        self._checkpoints = None if path is None else Checkpoints(path, lambda: connect(path))
        self._removal: asyncio.Future[None] | None = None
        self._is_removal_due = False
        self._removed_at = 0.0

    @property
    def durable(self) -> bool:
        """See Store."""
        return self._path is not None

    @property
    def pending_writes(self) -> int:
        """See Store. Reads that wait in the queue count, too."""
        return self._queue.pending

    def watch(
        self, lost: Callable[[str, LossReason], None], forgotten: Callable[[str, int], None] = ignore_forgotten
    ) -> None:
        """See Store. This store calls neither: no other process uses the file, and SQLite does not lose a commit."""

    async def start(self) -> None:
        """Open the file and create the tables. Raises StoreError."""
        await self._queue.open(lambda: connect(self._path))
        await self._queue.ask(self._prepare)

    async def close(self) -> None:
        """Finish the queued work, close the file and end the thread."""
        if self._checkpoints is not None:
            await asyncio.to_thread(self._checkpoints.close)
        await self._queue.close()

    async def holds(self, session_id: str) -> bool:
        """See Store."""
        return True

    async def claim(self, session_id: str) -> StoredSession | None:
        """See Store."""
        return await self._queue.ask(lambda: self._stored(session_id))

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """See Store."""
        return self._write("UPDATE sessions SET closed = ? WHERE session_id = ?", (closed, session_id))

    async def owner(self, session_id: str) -> str | None:
        """See Store."""
        statement = "SELECT owner FROM sessions WHERE session_id = ? AND NOT deleted"

        def look() -> str | None:
            found = self._db.execute(statement, (session_id,)).fetchone()
            return None if found is None else str(found[0])

        return await self._queue.ask(look)

    def begin_session(self, session_id: str, owner: str = "") -> Future[None]:
        """See Store."""
        now = self._clock()
        statement = (
            "INSERT INTO sessions (session_id, created_at, touched_at, owner) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (session_id) DO UPDATE SET touched_at = excluded.touched_at, closed = 0 "
            "WHERE NOT deleted"
        )
        return self._write(statement, (session_id, now, now, owner))

    async def touch(self, session_ids: Sequence[str]) -> int:
        """See Store. Renews many sessions in one write, one such write at a time."""
        statement = "UPDATE sessions SET touched_at = ? WHERE session_id = ? AND NOT deleted"
        for at in range(0, len(session_ids), _TOUCH_BATCH):
            now = self._clock()
            rows = [(now, session_id) for session_id in session_ids[at : at + _TOUCH_BATCH]]

            def work(rows: list[tuple[float, str]] = rows) -> None:
                with self._db:
                    self._db.executemany(statement, rows)

            try:
                await self._queue.ask(work, RENEWALS_STOP_AT)
            except QueueFullError:
                return len(session_ids) - at
        return 0

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        statement = (
            "INSERT OR IGNORE INTO streams (stream_key, session_id, stream_id, started_at) "
            "SELECT ?, session_id, ?, ? FROM sessions WHERE session_id = ? AND NOT deleted"
        )
        return self._write(statement, (stream.stream_key, stream.stream_id, stream.started_at, stream.session_id))

    def add_segment(
        self,
        session_id: str,
        stream_key: str,
        segment: Segment,
        state: bytes | None,
        analyses: Sequence[StoredAnalysis] = (),
    ) -> Future[None]:
        """See Store."""
        statement = (
            "INSERT OR IGNORE INTO segments (stream_key, segment_id, text, language, confidence, start_ms, end_ms, "
            "words, revision) SELECT stream_key, ?, ?, ?, ?, ?, ?, ?, ? FROM streams WHERE stream_key = ?"
        )
        row = (
            segment.segment_id,
            segment.text,
            segment.language,
            segment.confidence,
            segment.start_ms,
            segment.end_ms,
            msgspec.json.encode(segment.words),
            segment.revision,
            stream_key,
        )
        kept = [(statement, row)] if state is None else [(statement, row), _state(stream_key, state)]
        kept += _analyses(stream_key, analyses)
        return self._write_of_stream(stream_key, *kept, _touch(self._clock(), session_id))

    def save_state(
        self, session_id: str, stream_key: str, state: bytes, analyses: Sequence[StoredAnalysis] = ()
    ) -> Future[None]:
        """See Store."""
        kept = [_state(stream_key, state), *_analyses(stream_key, analyses)]
        return self._write_of_stream(stream_key, *kept, _touch(self._clock(), session_id))

    def add_analyses(self, session_id: str, stream_key: str, analyses: Sequence[StoredAnalysis]) -> Future[None]:
        """See Store."""
        kept = _analyses(stream_key, analyses)
        return self._write_of_stream(stream_key, *kept, _touch(self._clock(), session_id))

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """See Store."""
        statement = ("UPDATE streams SET ended = 1, state = ? WHERE stream_key = ?", (state, stream_key))
        return self._write_of_stream(stream_key, statement, _touch(self._clock(), session_id))

    async def transcript(self, session_id: str) -> Transcript | None:
        """See Store."""
        found = await self._queue.ask(lambda: self._stored(session_id, with_analyses=False))
        return None if found is None or found.deleted else transcript_of(session_id, found)

    async def record(self, session_id: str) -> StoredSession | None:
        """See Store."""
        found = await self._queue.ask(lambda: self._stored(session_id))
        return None if found is None or found.deleted else found

    async def delete(self, session_id: str) -> bool:
        """See Store."""

        def erase() -> bool:
            with self._db:
                now = self._clock()
                known = self._db.execute(
                    "UPDATE sessions SET deleted = 1, touched_at = ? WHERE session_id = ? AND NOT deleted",
                    (now, session_id),
                ).rowcount
                self._db.execute(
                    "INSERT OR IGNORE INTO sessions (session_id, created_at, touched_at, deleted) VALUES (?, ?, ?, 1)",
                    (session_id, now, now),
                )
                if self._db.execute("DELETE FROM streams WHERE session_id = ?", (session_id,)).rowcount:
                    mark_deletion(self._db)
                self._after_deletion(session_id)
            return known > 0

        is_deleted = await self._queue.ask(erase)
        # Deletions that wait at the same time share one removal, which runs after all of them.
        if self._removal is None or self._removal.done():
            self._removal = asyncio.wrap_future(self._queue.submit(self._remove_remains, None))
        await asyncio.shield(self._removal)
        return is_deleted

    async def sweep(self, retention_s: float) -> int:
        """See Store."""

        def erase() -> int:
            with self._db:
                now = self._clock()
                erased = self._db.execute(
                    "DELETE FROM streams WHERE session_id IN "
                    "(SELECT session_id FROM sessions WHERE touched_at < ? AND NOT deleted)",
                    (now - retention_s,),
                ).rowcount
                if erased:
                    mark_deletion(self._db)
                deleted = self._db.execute(
                    "UPDATE sessions SET deleted = 1 WHERE touched_at < ? AND NOT deleted", (now - retention_s,)
                ).rowcount
                longest = max(retention_s, self._token_ttl_s)
                self._db.execute("DELETE FROM sessions WHERE deleted AND touched_at < ?", (now - longest,))
            with suppress(sqlite3.OperationalError):
                self._queue.repeat_failed()
            self._sweep_remains()
            return deleted

        # Without a limit: there is never more than one sweep in the queue.
        return await self._queue.ask(erase, None)

    def _count_writes(self, count: int) -> None:
        if self._checkpoints is not None:
            self._checkpoints.count(self._db, count)

    @property
    def _db(self) -> sqlite3.Connection:
        """The connection, for work in the queue."""
        return self._queue.db

    def _prepare(self) -> None:
        prepare(self._db)
        self._remove_remains()

    def _remove(self, *, however_large: bool) -> bool:
        with nullcontext() if self._checkpoints is None else self._checkpoints.exclusive:
            return remove_remains(self._db, self._path, however_large=however_large, patience_ms=self._patience_ms)

    def _remove_remains(self) -> None:
        """Remove what deletions left in the file; from a large file, or one that another program reads, later."""
        if not self._remove(however_large=False):
            self._is_removal_due = True

    def _sweep_remains(self) -> None:
        """The same in a sweep, where a large file waits only if nobody asked for a deletion."""
        now = self._clock()
        is_due = self._is_removal_due or now - self._removed_at >= _REMOVE_EVERY_S
        if self._remove(however_large=is_due):
            self._is_removal_due = False
            self._removed_at = now

    def _write(self, statement: str, row: tuple[object, ...]) -> Future[None]:
        def work() -> None:
            self._db.execute(statement, row)

        return self._queue.write(work)

    def _write_of_stream(self, stream_key: str, *statements: _Statement) -> Future[None]:
        """Execute all statements in one transaction, or fail with SessionUnknownError if the stream is unknown."""

        def work() -> None:
            self._check_stream(stream_key)
            for sql, values in statements:
                self._db.execute(sql, values)

        return self._queue.write(work)

    def _check_stream(self, stream_key: str) -> None:
        """Raises SessionUnknownError if the stream is unknown. Runs in the transaction of a write."""
        if self._db.execute("SELECT 1 FROM streams WHERE stream_key = ?", (stream_key,)).fetchone() is None:
            raise SessionUnknownError("the store does not know the stream")

    def _after_deletion(self, session_id: str) -> None:
        """Runs in the transaction that deletes a session."""

    def _stored(self, session_id: str, *, with_analyses: bool = True) -> StoredSession | None:
        with closing(self._db.cursor()) as cursor:
            known = cursor.execute(
                "SELECT created_at, closed, deleted, owner FROM sessions WHERE session_id = ?", (session_id,)
            ).fetchone()
            if known is None:
                return None
            streams = cursor.execute(
                "SELECT stream_key, stream_id, started_at, ended, state FROM streams WHERE session_id = ? "
                "ORDER BY rowid",
                (session_id,),
            ).fetchall()
            left = tuple(
                StoredStream(
                    *(key, stream_id, started_at, bool(ended), state, _segments(cursor, key)),
                    _analyses_of(cursor, key) if with_analyses else (),
                )
                for key, stream_id, started_at, ended, state in streams
            )
            return StoredSession(known[0], bool(known[1]), bool(known[2]), left, known[3])


def _segments(cursor: sqlite3.Cursor, stream_key: str) -> tuple[Segment, ...]:
    rows = cursor.execute(
        "SELECT segment_id, text, language, confidence, start_ms, end_ms, words, revision FROM segments "
        "WHERE stream_key = ? ORDER BY segment_id",
        (stream_key,),
    ).fetchall()
    return tuple(
        Segment(number, text, language, confidence, start, end, msgspec.json.decode(words, type=_WORDS), revision)
        for number, text, language, confidence, start, end, words, revision in rows
    )


def _analyses_of(cursor: sqlite3.Cursor, stream_key: str) -> tuple[StoredAnalysis, ...]:
    rows = cursor.execute("SELECT key, data FROM analyses WHERE stream_key = ?", (stream_key,)).fetchall()
    return tuple(StoredAnalysis(key, data) for key, data in rows)


def _analyses(stream_key: str, analyses: Sequence[StoredAnalysis]) -> list[_Statement]:
    statement = "INSERT OR REPLACE INTO analyses (stream_key, key, data) VALUES (?, ?, ?)"
    return [(statement, (stream_key, each.key, each.data)) for each in analyses]


def _state(stream_key: str, state: bytes) -> _Statement:
    return "UPDATE streams SET state = ? WHERE stream_key = ? AND NOT ended", (state, stream_key)


def _touch(now: float, session_id: str) -> _Statement:
    return "UPDATE sessions SET touched_at = ? WHERE session_id = ?", (now, session_id)
