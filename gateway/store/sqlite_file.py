"""The file of the SQLite store: its tables, who may read it, and how deleted text leaves it.

Deleted text remains in three places of a SQLite file. `secure_delete` overwrites deleted rows. A checkpoint with
TRUNCATE empties the write-ahead log. But when SQLite moves rows between pages, it leaves old copies in the unused parts
of pages, which `secure_delete` does not overwrite (SQLite 3.40: 2 to 3 of 60 deleted sessions left some). Only VACUUM
removes these, by rewriting all pages.

`user_version` says whether such copies may exist. It is part of the transaction that deletes, so a kill between
deletion and VACUUM loses nothing: the next start sees it. Each deletion sets a value of its own, so that a process that
has rewritten all pages notices what another process deleted meanwhile.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import structlog

from gateway.store.base import StoreError

log = structlog.get_logger()

_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700
# The write-ahead log and its index, next to the file.
_COMPANIONS: Final = ("", "-wal", "-shm")
# VACUUM writes 100 MB/s and more, and other writes wait for it.
_SMALL_BYTES: Final = 16 << 20
# How long a write waits while another program locks the file.
_BUSY_MS: Final = 5_000
# Any other value of `user_version`: the file may hold remains. A new file, and files of earlier versions, have 0.
_HOLDS_NO_REMAINS: Final = 1
_DELETIONS: Final = range(2, 2**31)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    session_id TEXT PRIMARY KEY, created_at REAL NOT NULL, touched_at REAL NOT NULL, deleted INTEGER NOT NULL DEFAULT 0,
    closed INTEGER NOT NULL DEFAULT 0, owner TEXT NOT NULL DEFAULT '', holder TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sessions_touched ON sessions (touched_at);
CREATE TABLE IF NOT EXISTS handovers (
    holder TEXT NOT NULL, session_id TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (holder, session_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS streams (
    stream_key TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
    stream_id TEXT NOT NULL, started_at REAL NOT NULL, ended INTEGER NOT NULL DEFAULT 0,
    state BLOB NOT NULL DEFAULT x''
);
CREATE INDEX IF NOT EXISTS streams_session ON streams (session_id);
CREATE TABLE IF NOT EXISTS segments (
    stream_key TEXT NOT NULL REFERENCES streams ON DELETE CASCADE, segment_id INTEGER NOT NULL,
    text TEXT NOT NULL, language TEXT NOT NULL, confidence REAL NOT NULL,
    start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
    words BLOB NOT NULL, revision INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (stream_key, segment_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS analyses (
    stream_key TEXT NOT NULL REFERENCES streams ON DELETE CASCADE, key TEXT NOT NULL, data BLOB NOT NULL,
    PRIMARY KEY (stream_key, key)
) WITHOUT ROWID;
"""

# Columns that files of earlier versions lack.
_ADDED_COLUMNS = (
    ("sessions", "closed", "INTEGER NOT NULL DEFAULT 0"),
    ("sessions", "owner", "TEXT NOT NULL DEFAULT ''"),
    ("sessions", "holder", "TEXT NOT NULL DEFAULT ''"),
    ("streams", "state", "BLOB NOT NULL DEFAULT x''"),
    ("segments", "revision", "INTEGER NOT NULL DEFAULT 0"),
)


def connect(path: Path | None) -> sqlite3.Connection:
    """Open the file, readable by its owner only; None: in memory. Raises sqlite3.Error, OSError."""
    if path is not None:
        _make_private(path)
    return sqlite3.connect(path or ":memory:", isolation_level="IMMEDIATE", timeout=_BUSY_MS / 1000)


def check_file(path: Path) -> None:
    """Raise StoreError if the file cannot be a store, or its folder cannot hold one. Changes nothing."""
    if not path.exists():
        folder = next(folder for folder in path.absolute().parents if folder.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise StoreError(f"{path} cannot be made: {folder} is no folder that this user may write to")
        return
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        raise StoreError(f"{path} is no file that this user may write to")
    try:
        # An ordinary reader makes the companions, which then belong to this user and not to the gateway's.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read as a SQLite file ({type(error).__name__})") from None


def prepare(db: sqlite3.Connection) -> None:
    """Create what is missing, and take in what a killed process left in the write-ahead log. Raises sqlite3.Error."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")  # see sqlite_checkpoints.py
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    db.executescript(_SCHEMA)
    for table, column, declaration in _ADDED_COLUMNS:
        if column not in {row[1] for row in db.execute(f"PRAGMA table_info({table})")}:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {declaration}")


def mark_deletion(db: sqlite3.Connection) -> None:
    """Note, inside the transaction that deletes text, that copies of it may remain."""
    db.execute(f"PRAGMA user_version = {secrets.choice(_DELETIONS)}")


def remove_remains(db: sqlite3.Connection, path: Path | None, *, however_large: bool, patience_ms: int = 0) -> bool:
    """Remove what remains of deleted text, if anything may: empty the write-ahead log, then rewrite all pages.

    Returns false if work is left: the file is large and `however_large` is not set, or another program uses it for
    longer than `patience_ms`.
    """
    if path is None or (deletion := _user_version(db)) == _HOLDS_NO_REMAINS:
        return True
    db.execute(f"PRAGMA busy_timeout = {patience_ms}")  # other writes must not wait for a program that reads the file
    try:
        if not _empty_log(db) or (not however_large and path.stat().st_size > _SMALL_BYTES):
            return False
        db.execute("VACUUM")
        if not _empty_log(db):
            return False
        with db:
            db.execute("BEGIN IMMEDIATE")
            if _user_version(db) != deletion:
                return False
            db.execute(f"PRAGMA user_version = {_HOLDS_NO_REMAINS}")
    except sqlite3.OperationalError as error:
        log.warning("deleted text not overwritten yet", reason=type(error).__name__)
        return False
    finally:
        db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    return True


def _user_version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _empty_log(db: sqlite3.Connection) -> bool:
    """Copy the write-ahead log to the file and cut it to no bytes; returns whether no reader prevented that."""
    is_busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_busy:
        log.warning("deleted text not overwritten yet", reason="another program reads the store")
    return not is_busy


def _make_private(path: Path) -> None:
    """Create the file and its folder for the owner alone, whatever the umask is; restrict a file that exists."""
    if not path.parent.is_dir():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE_FILE))
    for suffix in _COMPANIONS:
        companion = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError):
            if companion.stat().st_mode & ~_PRIVATE_FILE & 0o777:
                _restrict(companion)


def _restrict(path: Path) -> None:
    try:
        path.chmod(_PRIVATE_FILE)
    except PermissionError:
        log.warning("others may read the store, and its owner is another user", path=str(path))
