"""Copies the write-ahead log of the SQLite store into its file, on a thread and a connection of its own.

SQLite itself does that within a commit, every 1000 pages. Such a commit, and every final behind it, waits for the disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

# A write changes about three pages of 4 KiB.
_EVERY_WRITES: Final = 500
# SQLite restarts the log only if nothing was written during a checkpoint, which may never happen under constant load.
_LONGEST_LOG: Final = 64 << 20


class Checkpoints:
    """`connect` opens the file once more. No checkpoint runs while somebody holds `exclusive`."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self.exclusive = threading.Lock()
        self._log = path.with_name(path.name + "-wal")
        self._connect = connect
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoints")
        self._running: Future[None] | None = None
        self._writes = 0

    def count(self, db: sqlite3.Connection, writes: int) -> None:
        """Note writes that were committed through `db`, on its thread. Starts a checkpoint if one is due."""
        self._writes += writes
        if self._writes < _EVERY_WRITES or (self._running is not None and not self._running.done()):
            return
        self._writes = 0
        if self._log.exists() and self._log.stat().st_size > _LONGEST_LOG:
            self._run(lambda: nullcontext(db))
        else:
            self._running = self._thread.submit(self._run, lambda: closing(self._connect()))

    def close(self) -> None:
        """Wait for the checkpoint that runs."""
        self._thread.shutdown(wait=True)

    def _run(self, opened: Callable[[], AbstractContextManager[sqlite3.Connection]]) -> None:
        try:
            with opened() as db, self.exclusive:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except (sqlite3.Error, OSError) as error:
            log.warning("checkpoint failed", reason=type(error).__name__)
