"""What outlives sockets and processes: final segments and the directory of sessions. Media is never stored.

Writes are handed over without waiting and answered by a future that is done once they survive the death of the process;
the order of writes is kept. One thread owns the SQLite connection; its queue is bounded.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from gateway.config import GatewayConfig, sqlite_path
from gateway.transcript_formats import Segment, StreamTranscript, Transcript, Word

T = TypeVar("T")

MAX_PENDING_WRITES = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY, created_at REAL NOT NULL, touched_at REAL NOT NULL, deleted INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_touched ON sessions (touched_at);
CREATE TABLE IF NOT EXISTS streams (
    stream_key TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    stream_id TEXT NOT NULL, started_at REAL NOT NULL, ended INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS streams_session ON streams (session_id);
CREATE TABLE IF NOT EXISTS segments (
    stream_key TEXT NOT NULL REFERENCES streams ON DELETE CASCADE, segment_id INTEGER NOT NULL,
    text TEXT NOT NULL, language TEXT NOT NULL, confidence REAL NOT NULL,
    start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
    words BLOB NOT NULL, PRIMARY KEY (stream_key, segment_id)
) WITHOUT ROWID;
"""


class StoreError(Exception):
    """A write or read that the store could not do. Carries no text of a transcript."""


class StreamStart(msgspec.Struct, frozen=True):
    """A media stream begins. `stream_key` is unique over all sessions and time, `started_at` UNIX seconds."""

    session_id: str
    stream_key: str
    stream_id: str
    started_at: float


class Store(Protocol):
    """Where finals are kept. Futures of writes fail with StoreError; a deleted session takes no writes."""

    async def start(self) -> None:
        """Make ready. Raises StoreError when the place cannot be used."""

    async def close(self) -> None:
        """Finish what was handed over, then let go."""

    def begin_session(self, session_id: str) -> Future[None]:
        """Enter a session into the directory, or touch it."""

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """Enter a media stream of a known session."""

    def add_segment(self, stream_key: str, segment: Segment) -> Future[None]:
        """Keep a final; a segment already kept stays as it is, for finals never change."""

    def end_stream(self, stream_key: str) -> Future[None]:
        """No more segments come."""

    def is_deleted(self, session_id: str) -> bool:
        """Whether a session was deleted on demand: it must not come to life again."""

    async def transcript(self, session_id: str) -> Transcript | None:
        """What is kept of a session; None when it is unknown or deleted."""

    async def delete(self, session_id: str) -> bool:
        """Delete a session with all its text at once; its bare name stays until retention ends. False if unknown."""

    async def sweep(self, retention_s: float) -> int:
        """Delete sessions not touched for longer than that; returns how many."""


class SqliteStore:
    """Transcripts in one SQLite file; with a write-ahead log a commit survives the death of the process."""

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.time) -> None:
        """`path` None keeps everything in memory, for tests and throw-away gateways."""
        self._path = path
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._room = threading.Semaphore(MAX_PENDING_WRITES)
        self._deleted: set[str] = set()
        self._db: sqlite3.Connection

    async def start(self) -> None:
        """Open the file, make the tables. Raises StoreError."""
        await self._ask(self._open)

    async def close(self) -> None:
        """Finish the queue, close the file, end the thread."""
        await self._ask(lambda: self._db.close())  # noqa: PLW0108 (the attribute belongs to the thread)
        self._thread.shutdown(wait=False)

    def begin_session(self, session_id: str) -> Future[None]:
        """See Store."""
        now = self._clock()
        statement = (
            "INSERT INTO sessions (session_id, created_at, touched_at) VALUES (?, ?, ?) "
            "ON CONFLICT (session_id) DO UPDATE SET touched_at = excluded.touched_at WHERE NOT deleted"
        )
        return self._write(statement, (session_id, now, now))

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        statement = (
            "INSERT OR IGNORE INTO streams (stream_key, session_id, stream_id, started_at) "
            "SELECT ?, session_id, ?, ? FROM sessions WHERE session_id = ? AND NOT deleted"
        )
        return self._write(statement, (stream.stream_key, stream.stream_id, stream.started_at, stream.session_id))

    def add_segment(self, stream_key: str, segment: Segment) -> Future[None]:
        """See Store."""
        row = (
            segment.segment_id,
            segment.text,
            segment.language,
            segment.confidence,
            segment.start_ms,
            segment.end_ms,
            msgspec.json.encode(segment.words),
            stream_key,
        )
        statement = (
            "INSERT OR IGNORE INTO segments SELECT stream_key, ?, ?, ?, ?, ?, ?, ? FROM streams WHERE stream_key = ?"
        )
        return self._write(statement, row, touch=stream_key)

    def end_stream(self, stream_key: str) -> Future[None]:
        """See Store."""
        return self._write("UPDATE streams SET ended = 1 WHERE stream_key = ?", (stream_key,), touch=stream_key)

    def is_deleted(self, session_id: str) -> bool:
        """See Store."""
        return session_id in self._deleted

    async def transcript(self, session_id: str) -> Transcript | None:
        """See Store."""
        return await self._ask(lambda: self._read(session_id))

    async def delete(self, session_id: str) -> bool:
        """See Store."""

        def erase() -> bool:
            with self._db:
                now = self._clock()
                known = self._db.execute(
                    "UPDATE sessions SET deleted = 1, touched_at = ? WHERE session_id = ? AND NOT deleted",
                    (now, session_id),
                ).rowcount
                self._db.execute("DELETE FROM streams WHERE session_id = ?", (session_id,))
            return known > 0

        known = await self._ask(erase)
        if known:
            self._deleted.add(session_id)
        return known

    async def sweep(self, retention_s: float) -> int:
        """See Store."""

        def erase() -> list[str]:
            with self._db:
                rows = self._db.execute(
                    "DELETE FROM sessions WHERE touched_at < ? RETURNING session_id", (self._clock() - retention_s,)
                ).fetchall()
            return [row[0] for row in rows]

        gone = await self._ask(erase)
        self._deleted.difference_update(gone)
        return len(gone)

    def _open(self) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self._path or ":memory:", isolation_level="IMMEDIATE", timeout=5.0)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.execute("PRAGMA secure_delete = ON")  # deleted text leaves the file too
        self._db.executescript(_SCHEMA)
        self._deleted.update(row[0] for row in self._db.execute("SELECT session_id FROM sessions WHERE deleted"))

    def _write(self, statement: str, row: tuple[object, ...], touch: str | None = None) -> Future[None]:
        def work() -> None:
            with self._db:
                self._db.execute(statement, row)
                if touch is not None:
                    self._db.execute(
                        "UPDATE sessions SET touched_at = ? "
                        "WHERE session_id = (SELECT session_id FROM streams WHERE stream_key = ?)",
                        (self._clock(), touch),
                    )

        return self._submit(work)

    def _submit(self, work: Callable[[], T]) -> Future[T]:
        def guarded() -> T:
            try:
                return work()
            except (sqlite3.Error, OSError) as error:
                # The library's text may quote values: only its kind goes on.
                raise StoreError(f"the transcript store failed ({type(error).__name__})") from None
            finally:
                self._room.release()

        if not self._room.acquire(blocking=False):
            refused: Future[T] = Future()
            refused.set_exception(StoreError("too many writes are waiting"))
            return refused
        return self._thread.submit(guarded)

    async def _ask(self, work: Callable[[], T]) -> T:
        return await asyncio.wrap_future(self._submit(work))

    def _read(self, session_id: str) -> Transcript | None:
        with closing(self._db.cursor()) as cursor:
            known = cursor.execute(
                "SELECT created_at FROM sessions WHERE session_id = ? AND NOT deleted", (session_id,)
            ).fetchone()
            if known is None:
                return None
            streams = cursor.execute(
                "SELECT stream_key, stream_id, started_at, ended FROM streams WHERE session_id = ? ORDER BY rowid",
                (session_id,),
            ).fetchall()
            return Transcript(
                session_id,
                known[0],
                tuple(
                    StreamTranscript(stream_id, started_at, bool(ended), self._segments(cursor, key))
                    for key, stream_id, started_at, ended in streams
                ),
            )

    @staticmethod
    def _segments(cursor: sqlite3.Cursor, stream_key: str) -> tuple[Segment, ...]:
        rows = cursor.execute(
            "SELECT segment_id, text, language, confidence, start_ms, end_ms, words FROM segments "
            "WHERE stream_key = ? ORDER BY segment_id",
            (stream_key,),
        ).fetchall()
        return tuple(
            Segment(number, text, language, confidence, start, end, msgspec.json.decode(words, type=tuple[Word, ...]))
            for number, text, language, confidence, start, end, words in rows
        )


def open_store(config: GatewayConfig) -> Store:
    """The store that the settings name (checked there)."""
    return SqliteStore(None if config.store.startswith("memory") else sqlite_path(config.store))
