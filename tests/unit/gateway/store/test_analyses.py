"""Windows, events and summaries in a store: kept, replaced, read and deleted with their session."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
import redis.asyncio

from gateway.analyses import StoredAnalysis
from gateway.store.base import SessionUnknownError, Store
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from tests.unit.gateway.store.helpers import LEASE_S, Clock, done, fill, segment


def analysis(key: str, data: bytes = b"{}") -> StoredAnalysis:
    return StoredAnalysis(key, data)


def in_order(analyses: Iterable[StoredAnalysis]) -> list[StoredAnalysis]:
    return sorted(analyses, key=lambda each: each.key)


async def analyses_in(store: Store, session_id: str = "s1") -> list[StoredAnalysis]:
    found = await store.record(session_id)
    assert found is not None
    return in_order(each for stream in found.streams for each in stream.analyses)


async def test_analyses_are_kept_with_finals_and_a_later_one_replaces_the_same_key(store: Store) -> None:
    first, other = analysis("delivery/window/0", b"1"), analysis("vision/event/smile/5", b"2")
    fill(store, "s1", "k1")
    store.add_segment("s1", "k1", segment(1), b"one", [first])
    store.save_state("s1", "k1", b"two", [other, analysis("delivery/summary", b"3")])
    await done(store.add_analyses("s1", "k1", [analysis("delivery/window/0", b"4")]))
    left = await store.claim("s1")
    assert left is not None
    assert (left.streams[0].state, left.streams[0].segments) == (b"two", (segment(1),))
    assert in_order(left.streams[0].analyses) == [
        analysis("delivery/summary", b"3"),
        analysis("delivery/window/0", b"4"),
        other,
    ]
    assert await analyses_in(store) == in_order(left.streams[0].analyses)


async def test_a_record_is_read_without_a_claim(two: tuple[Store, Store]) -> None:
    first, second = two
    await done(fill(first, "s1", "k1"))
    await done(first.add_analyses("s1", "k1", [analysis("delivery/window/0")]))
    assert await analyses_in(second) == [analysis("delivery/window/0")]
    await done(first.add_analyses("s1", "k1", [analysis("delivery/window/10000")]))
    assert await second.record("unknown") is None


async def test_analyses_of_a_stream_that_was_never_begun_are_not_kept(store: Store) -> None:
    await done(store.begin_session("s1"))
    with pytest.raises(SessionUnknownError):
        await done(store.add_analyses("s1", "unknown", [analysis("delivery/summary")]))
    assert await analyses_in(store) == []


async def test_analyses_are_deleted_with_their_session(store: Store) -> None:
    fill(store, "s1", "k1", segment(1))
    await done(store.add_analyses("s1", "k1", [analysis("delivery/summary")]))
    assert await store.delete("s1")
    assert await store.record("s1") is None
    left = await store.claim("s1")
    assert left is not None
    assert left.streams == ()


async def test_analyses_end_with_their_retention(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "t.db", clock)
    await store.start()
    fill(store, "s1", "k1")
    clock.now += 40.0
    await done(store.add_analyses("s1", "k1", [analysis("delivery/summary")]))
    clock.now += 40.0
    assert await store.sweep(50.0) == 0  # the write renewed it
    clock.now += 20.0
    assert await store.sweep(50.0) == 1
    assert await store.record("s1") is None
    await store.close()
    with closing(sqlite3.connect(tmp_path / "t.db")) as file:
        assert file.execute("SELECT count(*) FROM analyses").fetchone() == (0,)


async def test_redis_lets_go_of_analyses_after_retention(fresh_redis: str) -> None:
    store = RedisStore(fresh_redis, retention_s=50.0, lease_s=LEASE_S)
    await store.start()
    await done(fill(store, "s1", "k1", segment(1)))
    await done(store.add_analyses("s1", "k1", [analysis("delivery/summary")]))
    async with redis.asyncio.Redis.from_url(fresh_redis) as client:
        times = {key: await client.pttl(key) for key in await client.keys("*")}
    assert len(times) == 6
    assert all(0 < left <= 50_000 for left in times.values())
    assert await store.delete("s1")
    async with redis.asyncio.Redis.from_url(fresh_redis) as client:
        assert await client.keys("*analyses") == []
    await store.close()


async def test_a_file_of_an_earlier_version_takes_analyses(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    earlier = SqliteStore(path)
    await earlier.start()
    await done(fill(earlier, "s1", "k1", segment(1)))
    await earlier.close()
    with closing(sqlite3.connect(path)) as file:
        file.execute("DROP TABLE analyses")
    store = SqliteStore(path)
    await store.start()
    await done(store.add_analyses("s1", "k1", [analysis("delivery/summary")]))
    assert await analyses_in(store) == [analysis("delivery/summary")]
    await store.close()
