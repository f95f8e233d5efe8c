"""Deleted text is gone: from the bytes of the SQLite file and its log, also after a kill, and from Redis."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest
import redis.asyncio

from bench.harness.redis_server import running_redis
from bench.harness.stack import ROOT
from gateway.analyses import StoredAnalysis
from gateway.store.base import Store, StreamStart
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_file import connect, mark_deletion, prepare, remove_remains
from gateway.store.sqlite_shared import SharedSqliteStore
from gateway.transcript import Segment, Word

PATIENCE_S = 60.0


def canary(session_id: str) -> str:
    """A word that only this session says."""
    return f"canary-{session_id}-"


def segment(number: int, session_id: str, length: int) -> Segment:
    said = canary(session_id)
    return Segment(number, said * length, "en", 0.5, 1, 2, (Word(said, 1, 2, 0.25),))


async def fill(store: Store, rng: random.Random, *, sessions: int, finals: int) -> list[str]:
    """Sessions that speak in turns, so that their rows are inserted between each other's."""
    keys = {uuid.UUID(int=rng.getrandbits(128)).hex: uuid.UUID(int=rng.getrandbits(128)).hex for _ in range(sessions)}
    for session_id, key in keys.items():
        store.begin_session(session_id)
        store.begin_stream(StreamStart(session_id, key, "abc", started_at=5.0))
    for number in range(finals):
        for session_id, key in keys.items():
            state = canary(session_id).encode() * rng.randint(1, 80)
            said = segment(number, session_id, rng.randint(1, 12))
            kept = [StoredAnalysis(f"delivery/window/{number}", canary(session_id).encode() * rng.randint(1, 9))]
            write = store.add_segment(session_id, key, said, state, kept)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wrap_future(write)
    return list(keys)


def on_disk(path: Path) -> bytes:
    """Everything that the file and its companions hold."""
    return b"".join(each.read_bytes() for each in sorted(path.parent.glob(f"{path.name}*")))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    await store.start()
    try:
        yield store
    finally:
        await store.close()


async def test_nothing_of_a_deleted_session_is_left_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "data" / "t.db"
    deleting, writing = SharedSqliteStore(path), SharedSqliteStore(path)
    await deleting.start()
    await writing.start()
    gone = await fill(deleting, random.Random(1), sessions=20, finals=10)
    kept = await fill(writing, random.Random(2), sessions=20, finals=10)
    others = asyncio.create_task(fill(writing, random.Random(3), sessions=10, finals=100))
    for each in gone:
        assert await deleting.delete(each)
    kept += await others
    await deleting.sweep(1000.0)
    await writing.sweep(1000.0)
    assert not [each for each in gone if canary(each).encode() in on_disk(path)]
    assert all([await writing.transcript(each) is not None for each in kept])
    await deleting.close()
    await writing.close()


async def test_a_deletion_of_another_process_is_not_taken_for_removed(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(connect(path)) as removing, closing(connect(path)) as deleting:
        prepare(removing)
        with removing:
            removing.execute("BEGIN IMMEDIATE")
            mark_deletion(removing)

        def delete_meanwhile(action: int, *_: str | None) -> int:
            if action == sqlite3.SQLITE_TRANSACTION and not deleted:
                deleted.append(True)
                with deleting:
                    deleting.execute("BEGIN IMMEDIATE")
                    mark_deletion(deleting)
            return sqlite3.SQLITE_OK

        deleted: list[bool] = []
        removing.set_authorizer(delete_meanwhile)  # asked once VACUUM is over and its outcome is to be marked
        assert not remove_remains(removing, path, however_large=True)
        removing.set_authorizer(None)
        assert deleted
        assert remove_remains(removing, path, however_large=True)


async def test_nothing_of_a_deleted_session_is_left_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data" / "t.db"
    async with opened(path) as store:
        sessions = await fill(store, random.Random(1), sessions=60, finals=25)
        assert all(canary(each).encode() in on_disk(path) for each in sessions)
        gone, kept = sessions[:25], sessions[25:]
        for each in gone:
            assert await store.delete(each)
            assert canary(each).encode() not in on_disk(path)
        assert all(canary(each).encode() in on_disk(path) for each in kept)
        assert await store.transcript(kept[0]) is not None


async def test_deletions_at_the_same_time_are_all_done(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with opened(path) as store:
        sessions = await fill(store, random.Random(2), sessions=30, finals=5)
        assert all(await asyncio.gather(*(store.delete(each) for each in sessions)))
        assert b"canary-" not in on_disk(path)


async def test_retention_leaves_nothing_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with opened(path) as store:
        await fill(store, random.Random(3), sessions=10, finals=5)
        assert await store.sweep(-1.0) == 10
        assert b"canary-" not in on_disk(path)


KILLED = """
import asyncio, os, pathlib, random, signal, sys
import gateway.store.sqlite as sqlite
from tests.unit.gateway.store.test_deleted_text import fill

async def main(path):
    store = sqlite.SqliteStore(path)
    await store.start()
    first, *_ = await fill(store, random.Random(4), sessions=5, finals=5)
    print(first, flush=True)
    if sys.argv[2] == "between":  # the transaction is done, its remains are not removed yet
        sqlite.remove_remains = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    await store.delete(first)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(pathlib.Path(sys.argv[1])))
"""


@pytest.mark.parametrize("moment", ["after", "between"])
async def test_a_kill_brings_no_deleted_text_back(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "t.db"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "generated")])}
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, path, moment), env=environment, cwd=ROOT, stdout=subprocess.PIPE
    )
    output, _ = await killed.communicate()
    assert killed.returncode == -9
    deleted = output.decode().strip()
    if moment == "after":
        assert canary(deleted).encode() not in on_disk(path)
    async with opened(path) as store:
        assert canary(deleted).encode() not in on_disk(path)
        assert await store.transcript(deleted) is None
    raw = on_disk(path)
    assert b"canary-" in raw
    assert canary(deleted).encode() not in raw


async def test_a_reader_from_outside_only_delays_the_removal(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    async with opened(path) as store:
        first, *_ = await fill(store, random.Random(5), sessions=3, finals=5)
        with closing(sqlite3.connect(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM segments").fetchone()
            assert await store.delete(first)
            assert await store.transcript(first) is None
        await store.sweep(3600.0)
        assert canary(first).encode() not in on_disk(path)


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


async def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "t.db"
    with umask(0):
        async with opened(path) as store:
            await fill(store, random.Random(6), sessions=1, finals=1)
            modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
            assert modes == {"t.db": 0o600, "t.db-shm": 0o600, "t.db-wal": 0o600}
            assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_file_of_an_earlier_version_is_restricted(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with umask(0o022), closing(sqlite3.connect(path)) as earlier:
        earlier.execute("PRAGMA journal_mode = WAL")
        earlier.execute("CREATE TABLE other (x)")
        earlier.commit()
        assert path.stat().st_mode & 0o777 == 0o644
        async with opened(path):
            assert {each.stat().st_mode & 0o777 for each in tmp_path.glob("t.db*")} == {0o600}


async def everything_in(client: redis.asyncio.Redis) -> bytes:
    """The serialised values of all keys, with their names."""
    return b"".join([key + (await client.dump(key) or b"") async for key in client.scan_iter()])


async def test_nothing_of_a_deleted_session_is_left_in_redis(tmp_path: Path) -> None:
    with running_redis(tmp_path, "--appendonly", "yes", "--rdbcompression", "no") as url:
        store = RedisStore(url, retention_s=50.0, lease_s=5.0)
        await store.start()
        try:
            sessions = await fill(store, random.Random(7), sessions=3, finals=4)
            async with redis.asyncio.Redis.from_url(url) as client:
                values = await everything_in(client)
                assert all(canary(each).encode() in values for each in sessions)
                assert await store.delete(sessions[0])
                values = await everything_in(client)
                assert canary(sessions[0]).encode() not in values
                assert canary(sessions[1]).encode() in values
                # Redis keeps the deleted writes in its log until it rewrites that (docs/operations.md).
                await client.bgrewriteaof()
                async with asyncio.timeout(PATIENCE_S):
                    while canary(sessions[0]).encode() in _files_of(tmp_path):
                        await asyncio.sleep(0.05)
                assert canary(sessions[1]).encode() in _files_of(tmp_path)
        finally:
            await store.close()


def _files_of(folder: Path) -> bytes:
    found = []
    for each in folder.rglob("*"):
        try:
            found.append(each.read_bytes() if each.is_file() else b"")
        except FileNotFoundError:  # Redis has just replaced it
            continue
    return b"".join(found)
