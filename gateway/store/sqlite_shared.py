"""The store of several gateway processes on one machine: one SQLite file, and a holder for each session.

As in Redis, the process that claimed a session last holds it, and the file refuses the writes of any other: each write
checks the holder in its own transaction. SQLite cannot call anybody, so whoever takes or deletes a session leaves a
line in `handovers` for the process that held it, and every process looks for its lines.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.store.base import LossReason, SessionUnknownError, StoredSession, StoreError, StreamStart, ignore_forgotten
from gateway.store.sqlite import SqliteStore

# The time between two looks at the handovers, each 0.1 ms. Writes meet the new holder at once, whatever this is.
_LOOK_S: Final = 0.25
# Lines for a process that died are removed after this time.
_KEEP_LINES_S: Final = 3600.0


class SharedSqliteStore(SqliteStore):
    """Transcripts in a SQLite file that several processes use."""

    # The other processes read and write for milliseconds.
    _patience_ms = 500

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, token_ttl_s: float = 0.0) -> None:
        """See SqliteStore."""
        super().__init__(path, clock, token_ttl_s)
        self._holder = uuid.uuid4().hex
        self._held: set[str] = set()
        self._on_lost: Callable[[str, LossReason], None] = lambda _session_id, _reason: None
        self._loop: asyncio.AbstractEventLoop
        self._looking: asyncio.Task[None]

    def watch(
        self, lost: Callable[[str, LossReason], None], forgotten: Callable[[str, int], None] = ignore_forgotten
    ) -> None:
        """See Store. SQLite does not lose a commit, so nothing is forgotten."""
        self._on_lost = lost

    async def start(self) -> None:
        """See SqliteStore."""
        await super().start()
        self._loop = asyncio.get_running_loop()
        self._looking = asyncio.create_task(self._look_for_handovers())

    async def close(self) -> None:
        """See SqliteStore."""
        self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking
        await super().close()

    async def holds(self, session_id: str) -> bool:
        """See Store. A session that is not in the file yet may still be entered by this process."""

        def look() -> bool:
            found = self._db.execute(
                "SELECT holder, deleted FROM sessions WHERE session_id = ?", (session_id,)
            ).fetchone()
            return found is None or (found[0] == self._holder and not found[1])

        return await self._queue.ask(look)

    async def claim(self, session_id: str) -> StoredSession | None:
        """See Store."""

        def take() -> StoredSession | None:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                found = self._stored(session_id)
                if found is not None and not found.deleted:
                    self._leave_line(session_id, LossReason.CLAIMED)
                    self._db.execute("DELETE FROM handovers WHERE at < ?", (self._clock() - _KEEP_LINES_S,))
                    self._db.execute("UPDATE sessions SET holder = ? WHERE session_id = ?", (self._holder, session_id))
                return found

        found = await self._queue.ask(take)
        if found is not None and not found.deleted:
            self._held.add(session_id)
        return found

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """See Store."""
        self._held.discard(session_id)
        # The holder stays, so that the file keeps refusing the delayed writes of earlier ones.
        statement = "UPDATE sessions SET closed = ? WHERE session_id = ? AND holder = ?"
        return self._write(statement, (closed, session_id, self._holder))

    async def delete(self, session_id: str) -> bool:
        """See Store."""
        self._held.discard(session_id)
        return await super().delete(session_id)

    def begin_session(self, session_id: str, owner: str = "") -> Future[None]:
        """See Store."""
        self._held.add(session_id)
        now = self._clock()
        statement = (
            "INSERT INTO sessions (session_id, created_at, touched_at, owner, holder) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (session_id) DO UPDATE SET touched_at = excluded.touched_at, closed = 0, "
            "holder = excluded.holder WHERE NOT deleted AND holder IN ('', excluded.holder)"
        )

        def work() -> None:
            self._db.execute(statement, (session_id, now, now, owner, self._holder))
            self._check_holder(session_id)  # another holder's session was left as it is

        return self._queue.write(work)

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        statement = (
            "INSERT OR IGNORE INTO streams (stream_key, session_id, stream_id, started_at) "
            "SELECT ?, session_id, ?, ? FROM sessions WHERE session_id = ? AND NOT deleted AND holder = ?"
        )
        values = (stream.stream_key, stream.stream_id, stream.started_at, stream.session_id, self._holder)
        return self._write(statement, values)

    def _check_stream(self, stream_key: str) -> None:
        found = self._db.execute("SELECT session_id FROM streams WHERE stream_key = ?", (stream_key,)).fetchone()
        if found is None:
            raise SessionUnknownError("the store does not know the stream")
        self._check_holder(str(found[0]))

    def _check_holder(self, session_id: str) -> None:
        """Raises SessionUnknownError if another process holds the session. Runs in the transaction of a write."""
        holder, deleted = self._db.execute(
            "SELECT holder, deleted FROM sessions WHERE session_id = ?", (session_id,)
        ).fetchone()
        if deleted or holder != self._holder:
            reason = LossReason.DELETED if deleted else LossReason.CLAIMED
            self._loop.call_soon_threadsafe(self._lose, session_id, reason)
            raise SessionUnknownError("this process does not own the session")

    def _after_deletion(self, session_id: str) -> None:
        self._leave_line(session_id, LossReason.DELETED)

    def _leave_line(self, session_id: str, reason: LossReason) -> None:
        """Notify the holder of a session, unless it is this process, that it no longer holds the session."""
        self._db.execute(
            "INSERT OR REPLACE INTO handovers (holder, session_id, reason, at) "
            "SELECT holder, session_id, ?, ? FROM sessions WHERE session_id = ? AND holder NOT IN ('', ?)",
            (reason.value, self._clock(), session_id, self._holder),
        )

    async def _look_for_handovers(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            # A failure here loses nothing: the lines stay, and the next look finds them.
            with suppress(StoreError):
                for session_id, reason in await self._queue.ask(self._take_lines):
                    self._lose(session_id, reason)

    def _take_lines(self) -> list[tuple[str, LossReason]]:
        """The lines for this process, except those about sessions that it has claimed again; removes all of them."""
        if self._db.execute("SELECT 1 FROM handovers WHERE holder = ?", (self._holder,)).fetchone() is None:
            return []
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            found = self._db.execute(
                "SELECT session_id, reason FROM handovers LEFT JOIN sessions USING (session_id) "
                "WHERE handovers.holder = ? AND (sessions.holder IS NOT ? OR sessions.deleted)",
                (self._holder, self._holder),
            ).fetchall()
            self._db.execute("DELETE FROM handovers WHERE holder = ?", (self._holder,))
        return [(str(session_id), LossReason(reason)) for session_id, reason in found]

    def _lose(self, session_id: str, reason: LossReason) -> None:
        if session_id in self._held:
            self._held.discard(session_id)
            self._on_lost(session_id, reason)
