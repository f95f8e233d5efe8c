"""The transcript store, in memory and in a file: one behaviour."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.store import SqliteStore, StoreError, StreamStart
from gateway.transcript_formats import Segment, Word


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "file"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "deep" / "t.db" if request.param == "file" else None, clock)
    await store.start()
    yield store
    await store.close()


def segment(number: int, text: str = "said") -> Segment:
    return Segment(number, text, "en", 0.5, 10 * number, 10 * number + 5, (Word(text, 1, 2, 0.25),))


def fill(store: SqliteStore, session_id: str, stream_key: str, *segments: Segment) -> None:
    store.begin_session(session_id)
    store.begin_stream(StreamStart(session_id, stream_key, "abc", started_at=5.0))
    for one in segments:
        store.add_segment(stream_key, one)


async def test_what_was_written_is_read_in_order(store: SqliteStore) -> None:
    fill(store, "s1", "k1", segment(2), segment(1))
    fill(store, "s1", "k2", segment(1, "again"))
    store.end_stream("k1")
    kept = await store.transcript("s1")
    assert kept is not None
    assert [stream.ended for stream in kept.streams] == [True, False]
    assert kept.streams[0].segments == (segment(1), segment(2))
    assert kept.streams[1].segments == (segment(1, "again"),)
    assert await store.transcript("s2") is None


async def test_a_final_never_changes(store: SqliteStore) -> None:
    fill(store, "s1", "k1", segment(1, "first"), segment(1, "other"))
    kept = await store.transcript("s1")
    assert kept is not None
    assert kept.streams[0].segments == (segment(1, "first"),)


async def test_deleted_sessions_do_not_come_back(store: SqliteStore) -> None:
    fill(store, "s1", "k1", segment(1))
    assert await store.delete("s1")
    assert store.is_deleted("s1")
    assert not await store.delete("s1")
    fill(store, "s1", "k1", segment(2))
    assert await store.transcript("s1") is None


async def test_retention(store: SqliteStore, clock: Clock) -> None:
    fill(store, "old", "k1", segment(1))
    fill(store, "kept", "k2", segment(1))
    await store.delete("old")
    clock.now += 100.0
    await asyncio.wrap_future(store.add_segment("k2", segment(2)))
    assert await store.sweep(50.0) == 1
    assert not store.is_deleted("old")
    assert await store.transcript("kept") is not None
    clock.now += 51.0
    assert await store.sweep(50.0) == 1
    assert await store.transcript("kept") is None


async def test_a_file_is_readable_by_another_process_once_the_future_is_done(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = SqliteStore(path)
    await store.start()
    fill(store, "s1", "k1")
    await asyncio.wrap_future(store.add_segment("k1", segment(1)))
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT text FROM segments").fetchall() == [("said",)]
    await store.close()


async def test_a_file_keeps_finals_and_deletions_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    first = SqliteStore(path)
    await first.start()
    fill(first, "s1", "k1", segment(1))
    fill(first, "s2", "k2", segment(1))
    await first.delete("s2")
    await first.close()
    second = SqliteStore(path)
    await second.start()
    kept = await second.transcript("s1")
    assert kept is not None
    assert kept.streams[0].segments == (segment(1),)
    assert second.is_deleted("s2")
    await second.close()
    assert b"said" not in path.read_bytes().replace(b"said", b"", 2)  # one text, one word: nothing of s2


async def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(b"no database at all, but long enough to be looked at " * 40)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="DatabaseError"):
        await store.start()
    await store.close()
