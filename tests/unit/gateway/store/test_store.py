"""The stores, in memory, in a file and in Redis: one behaviour."""

import asyncio
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from bench.harness.fault_proxy import fault_proxy
from bench.harness.redis_server import running_redis
from bench.harness.stack import HOST, free_port
from gateway.store.base import (
    MAX_PENDING_WRITES,
    RENEWALS_STOP_AT,
    LossReason,
    SessionUnknownError,
    Store,
    StoreError,
    StreamStart,
)
from gateway.store.redis import RedisStore, _stop
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_shared import SharedSqliteStore
from tests.unit.gateway.store.helpers import LEASE_S, PATIENCE_S, Clock, done, fill, flush, segment


async def test_what_was_written_is_read_in_order(store: Store) -> None:
    fill(store, "s1", "k1", segment(2), segment(1))
    fill(store, "s1", "k2", segment(1, "again"))
    await done(store.end_stream("s1", "k1", b""))
    kept = await store.transcript("s1")
    assert kept is not None
    assert [stream.ended for stream in kept.streams] == [True, False]
    assert kept.streams[0].segments == (segment(1), segment(2))
    assert kept.streams[1].segments == (segment(1, "again"),)
    assert await store.transcript("s2") is None


async def test_the_owner_of_a_session_stays(store: Store) -> None:
    await done(store.begin_session("s1", "a"))
    await done(store.begin_session("s1", "b"))
    await done(store.begin_session("s2"))
    assert [await store.owner(each) for each in ("s1", "s2", "s3")] == ["a", "", None]
    left = await store.claim("s1")
    assert left is not None
    assert left.owner == "a"
    assert await store.delete("s1")
    assert await store.owner("s1") is None


async def test_a_deleted_session_stays_deleted_whether_it_was_known_or_not(store: Store) -> None:
    await done(store.begin_session("s1"))
    assert await store.delete("s1")
    assert not await store.delete("s2")
    for session_id in ("s1", "s2"):
        left = await store.claim(session_id)
        assert left is not None
        assert left.deleted


async def test_ids_stay_as_long_as_tokens_can_name_them(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "t.db", clock, token_ttl_s=1000.0)
    await store.start()
    fill(store, "old", "k1", segment(1))
    await store.delete("deleted")
    clock.now += 100.0
    assert await store.sweep(50.0) == 1
    assert await store.transcript("old") is None
    for session_id in ("old", "deleted"):
        left = await store.claim(session_id)
        assert left is not None
        assert (left.deleted, left.streams) == (True, ())
    clock.now += 901.0
    await store.sweep(50.0)
    assert [await store.claim(each) for each in ("old", "deleted")] == [None, None]
    await store.close()


async def test_a_final_never_changes(store: Store) -> None:
    await done(fill(store, "s1", "k1", segment(1, "first"), segment(1, "other")))
    kept = await store.transcript("s1")
    assert kept is not None
    assert kept.streams[0].segments == (segment(1, "first"),)


async def test_a_session_is_claimed_as_it_was_left(store: Store) -> None:
    assert await store.claim("s1") is None
    fill(store, "s1", "k1")
    store.save_state("s1", "k1", b"one")
    await done(store.add_segment("s1", "k1", segment(1), b"two"))
    left = await store.claim("s1")
    assert left is not None
    assert (left.closed, left.deleted, [stream.state for stream in left.streams]) == (False, False, [b"two"])
    assert left.streams[0].segments == (segment(1),)
    await done(store.add_segment("s1", "k1", segment(2), None))
    await done(store.release("s1", closed=True))
    over = await store.claim("s1")
    assert over is not None
    assert (over.closed, over.streams[0].state, len(over.streams[0].segments)) == (True, b"two", 2)
    await done(store.begin_session("s1"))
    again = await store.claim("s1")
    assert again is not None
    assert not again.closed


async def test_a_stream_that_ended_stays_ended(store: Store) -> None:
    fill(store, "s1", "k1", segment(1))
    store.end_stream("s1", "k1", b"at its end")
    fill(store, "s1", "k1")
    store.save_state("s1", "k1", b"late")
    await done(store.add_segment("s1", "k1", segment(2), b"late"))
    await store.touch(["s1"])
    await store.sweep(50.0)
    await done(store.release("s1", closed=False))
    left = await store.claim("s1")
    assert left is not None
    assert [(each.ended, each.state) for each in left.streams] == [(True, b"at its end")]
    assert left.streams[0].segments == (segment(1), segment(2))


async def test_nothing_is_kept_of_a_stream_that_was_never_begun(store: Store) -> None:
    await done(store.begin_session("s1"))
    with pytest.raises(SessionUnknownError):
        await done(store.add_segment("s1", "unknown", segment(1), b"state"))
    with pytest.raises(SessionUnknownError):
        await done(store.save_state("s1", "unknown", b"state"))
    kept = await store.transcript("s1")
    assert kept is not None
    assert kept.streams == ()


async def test_deleted_sessions_do_not_come_back(store: Store) -> None:
    await done(fill(store, "s1", "k1", segment(1)))
    assert await store.delete("s1")
    assert not await store.delete("s1")
    with suppress(StoreError):
        await done(fill(store, "s1", "k1", segment(2)))
    assert await store.transcript("s1") is None
    left = await store.claim("s1")
    assert left is not None
    assert left.deleted
    assert left.streams == ()


async def test_retention(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "t.db", clock)
    await store.start()
    fill(store, "old", "k1", segment(1))
    fill(store, "kept", "k2", segment(1))
    await store.delete("old")
    clock.now += 100.0
    await done(store.add_segment("kept", "k2", segment(2), None))
    assert await store.sweep(50.0) == 0  # its text was deleted before
    assert await store.claim("old") is None
    assert await store.transcript("kept") is not None
    clock.now += 51.0
    assert await store.sweep(50.0) == 1
    assert await store.transcript("kept") is None
    await store.close()


async def test_redis_lets_go_of_all_keys_after_retention(fresh_redis: str) -> None:
    store = RedisStore(fresh_redis, retention_s=50.0, lease_s=LEASE_S)
    await store.start()
    await done(fill(store, "s1", "k1", segment(1)))
    async with redis.asyncio.Redis.from_url(fresh_redis) as client:
        times = {key: await client.pttl(key) for key in await client.keys("*")}
    assert len(times) == 5
    assert all(0 < left <= 50_000 for left in times.values())
    await store.close()


async def test_a_claim_ends_the_writes_of_the_gateway_before(two: tuple[Store, Store]) -> None:
    first, second = two
    lost: asyncio.Queue[tuple[str, LossReason]] = asyncio.Queue()
    first.watch(lambda session_id, reason: lost.put_nowait((session_id, reason)))
    await done(fill(first, "s1", "k1", segment(1)))
    assert await first.holds("s1")
    claimed = await second.claim("s1")
    assert claimed is not None
    assert claimed.streams[0].segments == (segment(1),)
    late = first.add_segment("s1", "k1", segment(2), b"late")
    with pytest.raises(StoreError):
        await done(late)
    assert lost.get_nowait() == ("s1", LossReason.CLAIMED)
    assert not await first.holds("s1")
    await done(second.add_segment("s1", "k1", segment(3), b"new"))
    kept = await first.transcript("s1")
    assert kept is not None
    assert [one.segment_id for one in kept.streams[0].segments] == [1, 3]


async def test_a_silent_gateway_learns_of_the_claim_when_it_renews(two: tuple[Store, Store]) -> None:
    first, second = two
    lost: asyncio.Queue[tuple[str, LossReason]] = asyncio.Queue()
    first.watch(lambda session_id, reason: lost.put_nowait((session_id, reason)))
    await done(fill(first, "claimed", "k1"))
    await done(fill(first, "deleted", "k2"))
    await second.claim("claimed")
    await second.delete("deleted")
    async with asyncio.timeout(PATIENCE_S):
        assert {await lost.get(), await lost.get()} == {
            ("claimed", LossReason.CLAIMED),
            ("deleted", LossReason.DELETED),
        }


async def test_what_comes_late_is_not_taken_after_another_gateway_had_the_session(
    two: tuple[Store, Store],
) -> None:
    first, second = two
    first.begin_session("s")
    await done(first.begin_stream(StreamStart("s", "k", "a", 1.0)))
    await second.claim("s")
    await done(second.save_state("s", "k", b"newer"))
    await done(second.release("s", closed=False))
    for late in (first.save_state("s", "k", b"older"), first.begin_session("s")):
        with pytest.raises(StoreError, match="does not own the session"):
            await done(late)
    assert not await first.holds("s")
    taken = await first.claim("s")
    assert taken is not None
    assert taken.streams[0].state == b"newer"
    await done(first.save_state("s", "k", b"newest"))


async def test_what_was_written_while_redis_was_away_is_kept_when_it_is_back(fresh_redis: str) -> None:
    async with fault_proxy(urlsplit(fresh_redis).port or 0) as proxy:
        store = RedisStore(f"redis://{HOST}:{proxy.port}/0", retention_s=50.0, lease_s=LEASE_S)
        await store.start()
        store.begin_session("s")
        await done(store.begin_stream(StreamStart("s", "k", "a", 1.0)))
        proxy.refuse()
        proxy.reset()
        late = [store.add_segment("s", "k", segment(number), b"state") for number in (1, 2)]
        for write in late:
            with pytest.raises(StoreError):
                await done(write)
        later = store.add_segment("s", "k", segment(3), b"state")
        assert later.done(), "a Redis that is known to be away keeps nobody waiting"
        proxy.heal()
        async with asyncio.timeout(10):
            await store._queue.emptied.wait()
        await done(store.add_segment("s", "k", segment(4), b"state"))
        kept = await store.transcript("s")
        await store.close()
    assert kept is not None
    assert [each.segment_id for each in kept.streams[0].segments] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("refuse", "allow", "reason"),
    [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OutOfMemoryError"),
        (f"REPLICAOF {HOST} 1", "REPLICAOF NO ONE", "ReadOnlyError"),
    ],
)
async def test_what_redis_refuses_for_a_while_is_kept_when_it_takes_writes_again(
    fresh_redis: str, refuse: str, allow: str, reason: str
) -> None:
    store = RedisStore(fresh_redis, retention_s=50.0, lease_s=LEASE_S)
    await store.start()
    await done(fill(store, "s", "k"))
    async with redis.asyncio.Redis.from_url(fresh_redis) as client:
        await client.execute_command(*refuse.split())
        try:
            refused = [store.add_segment("s", "k", segment(1), None), store.end_stream("s", "k", b"at its end")]
            for write in refused:
                with pytest.raises(StoreError, match=reason):
                    await done(write)
        finally:
            await client.execute_command(*allow.split())
    async with asyncio.timeout(PATIENCE_S):
        await store._queue.emptied.wait()
    left = await store.claim("s")
    await store.close()
    assert left is not None
    assert [(each.ended, each.state) for each in left.streams] == [(True, b"at its end")]
    assert left.streams[0].segments == (segment(1),)


async def test_a_redis_that_lost_its_data_is_noticed_and_keeps_what_follows(fresh_redis: str) -> None:
    store = RedisStore(fresh_redis, retention_s=60.0, lease_s=5.0)
    await store.start()
    try:
        await done(fill(store, "s1", "k1", segment(1, "before")))
        await flush(fresh_redis)
        late = [store.add_segment("s1", "k1", segment(number), b"state") for number in (2, 3)]
        for write in late:
            with pytest.raises(SessionUnknownError):
                await done(write)
        await done(store.add_segment("s1", "k1", segment(4), b"state"))
        transcript = await store.transcript("s1")
        assert transcript is not None
        assert [each.segment_id for each in transcript.streams[0].segments] == [2, 3, 4]
        stored = await store.claim("s1")
        assert stored is not None
        assert stored.streams[0].state == b"state"
    finally:
        await store.close()


async def test_a_write_for_a_session_that_was_never_entered_fails(fresh_redis: str) -> None:
    store = RedisStore(fresh_redis, retention_s=60.0, lease_s=5.0)
    await store.start()
    try:
        with pytest.raises(SessionUnknownError):
            await done(store.add_segment("s1", "k1", segment(1), None))
        assert await store.transcript("s1") is None
    finally:
        await store.close()


@pytest.mark.parametrize("kind", ["file", "redis"])
async def test_touching_more_sessions_than_may_wait_refuses_no_final(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sessions = [f"s{number}" for number in range(MAX_PENDING_WRITES + 100)]
    store: Store
    if kind == "file":
        store = SqliteStore(tmp_path / "finals.db")
    else:
        url = request.getfixturevalue("redis_url")
        await flush(url)
        store = RedisStore(url, retention_s=60.0, lease_s=5.0)
    await store.start()
    try:
        for at in range(0, len(sessions), 1000):
            await asyncio.gather(*(done(store.begin_session(each)) for each in sessions[at : at + 1000]))
        await done(fill(store, "s0", "k0"))
        touching = asyncio.create_task(store.touch(sessions))
        for number in range(1, 200):
            write = store.add_segment("s0", "k0", segment(number), None)
            await asyncio.sleep(0)
            await done(write)
        await touching
        transcript = await store.transcript("s0")
        assert transcript is not None
        assert len(transcript.streams[0].segments) == 199
    finally:
        await store.close()


async def test_a_touched_session_is_spared_by_retention(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "t.db", clock)
    await store.start()
    fill(store, "touched", "k1", segment(1))
    await done(fill(store, "other", "k2", segment(1)))
    clock.now += 40.0
    assert await store.touch(["touched", "unknown"]) == 0
    clock.now += 40.0
    assert await store.sweep(50.0) == 1
    assert await store.transcript("touched") is not None
    assert await store.claim("other") is None
    assert await store.claim("unknown") is None
    clock.now += 11.0
    assert await store.sweep(50.0) == 1
    assert await store.claim("touched") is None
    await store.close()


async def test_redis_spares_a_touched_session(fresh_redis: str) -> None:
    store = RedisStore(fresh_redis, retention_s=50.0, lease_s=LEASE_S)
    await store.start()
    fill(store, "touched", "k1", segment(1))
    await done(fill(store, "other", "k2", segment(1)))
    async with redis.asyncio.Redis.from_url(fresh_redis) as client:
        kept = [key async for key in client.scan_iter("*") if not key.endswith(b":owner")]
        for key in kept:
            await client.pexpire(key, 20_000)  # as if 30 s had passed
        assert await store.touch(["touched", "unknown"]) == 0
        left = {key: await client.pttl(key) for key in kept}
        assert await client.exists("talkup:{unknown}:session") == 0
    await store.close()
    assert len(kept) == 8
    for key, left_ms in left.items():
        assert (left_ms > 20_000) is (b"touched" in key)


@pytest.mark.parametrize("kind", ["file", "redis"])
async def test_with_a_full_queue_renewals_are_skipped_but_neither_finals_nor_the_sweep(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, clock: Clock
) -> None:
    gate = threading.Event()
    store: Store
    if kind == "file":
        store = SqliteStore(tmp_path / "t.db", clock)
        await store.start()
        await done(fill(store, "old", "k0"))
        clock.now += 100.0
        await done(fill(store, "s1", "k1"))
        store._queue._thread.submit(gate.wait)
    else:
        url = request.getfixturevalue("redis_url")
        await flush(url)
        store = RedisStore(url, retention_s=60.0, lease_s=5.0)
        await store.start()
        await done(fill(store, "s1", "k1"))
    try:
        writes = [store.add_segment("s1", "k1", segment(number), None) for number in range(RENEWALS_STOP_AT)]
        async with asyncio.timeout(PATIENCE_S):
            assert await store.touch(["s1", "s2"]) == 2
        if kind == "file":
            writes += [
                store.add_segment("s1", "k1", segment(n), None) for n in range(RENEWALS_STOP_AT, MAX_PENDING_WRITES)
            ]
            with pytest.raises(StoreError, match="too many"):
                await done(store.add_segment("s1", "k1", segment(MAX_PENDING_WRITES), None))
        sweeping = asyncio.create_task(store.sweep(50.0))
        await asyncio.sleep(0)
    finally:
        gate.set()
    for write in writes:
        await done(write)
    assert await sweeping == (1 if kind == "file" else 0)
    assert await store.touch(["s1", "s2"]) == 0
    transcript = await store.transcript("s1")
    assert transcript is not None
    assert len(transcript.streams[0].segments) == len(writes)
    await store.close()


async def test_renewals_wait_for_writes_that_redis_does_not_take(fresh_redis: str) -> None:
    async with fault_proxy(urlsplit(fresh_redis).port or 0) as proxy:
        store = RedisStore(f"redis://{HOST}:{proxy.port}/0", retention_s=50.0, lease_s=5.0)
        await store.start()
        await done(fill(store, "s1", "k1"))
        proxy.refuse()
        proxy.reset()
        with pytest.raises(StoreError):
            await done(store.add_segment("s1", "k1", segment(1), None))
        assert await store.touch(["s1"]) == 1
        proxy.heal()
        async with asyncio.timeout(PATIENCE_S):
            await store._queue.emptied.wait()
        assert await store.touch(["s1"]) == 0
        await store.close()


async def test_an_answer_from_before_a_claim_does_not_lose_the_session_again(
    two_on_redis: tuple[RedisStore, RedisStore],
) -> None:
    here, there = two_on_redis
    lost: list[str] = []
    here.watch(lambda session_id, _: lost.append(session_id))
    await done(fill(here, "s1", "k1"))
    ownership = here._owned["s1"]
    await there.claim("s1")
    await here.claim("s1")
    here._lose("s1", ownership, LossReason.CLAIMED)
    assert lost == []
    await done(here.add_segment("s1", "k1", segment(2), None))


async def test_a_session_that_came_back_is_not_lost_to_a_line_about_its_leaving(tmp_path: Path) -> None:
    here, there = SharedSqliteStore(tmp_path / "t.db"), SharedSqliteStore(tmp_path / "t.db")
    lost: list[str] = []
    await here.start()
    await there.start()
    here.watch(lambda session_id, _: lost.append(session_id))
    await done(fill(here, "s1", "k1"))
    await done(fill(here, "s2", "k2"))
    await there.claim("s1")
    await there.claim("s2")
    await here.claim("s1")
    async with asyncio.timeout(PATIENCE_S):
        while not lost:
            await asyncio.sleep(0.01)
    await done(here.add_segment("s1", "k1", segment(2), None))
    with pytest.raises(SessionUnknownError):
        await done(here.add_segment("s2", "k2", segment(2), None))
    assert lost == ["s2"]
    await here.close()
    await there.close()


async def test_a_task_whose_cancellation_was_lost_is_ended() -> None:
    begun = asyncio.Event()

    async def deaf_once() -> None:
        with suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    task = asyncio.create_task(deaf_once())
    await begun.wait()
    async with asyncio.timeout(PATIENCE_S):
        await _stop(task)
    assert task.cancelled()


async def test_writes_fail_in_bounded_time_when_redis_is_gone(tmp_path: Path) -> None:
    with running_redis(tmp_path) as url:
        store = RedisStore(url, retention_s=50.0, lease_s=LEASE_S)
        await store.start()
        await done(store.begin_session("s1"))
    with pytest.raises(StoreError, match="does not answer"):
        await done(store.begin_session("s2"))
    with pytest.raises(StoreError):
        await store.claim("s1")
    await store.close()


async def test_a_server_that_is_not_there() -> None:
    store = RedisStore(f"redis://{HOST}:{free_port()}/0", retention_s=50.0, lease_s=LEASE_S)
    with pytest.raises(StoreError):
        await store.start()
    await store.close()


async def test_a_file_of_an_earlier_version_gets_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript(
            """
            CREATE TABLE sessions (session_id TEXT PRIMARY KEY, created_at REAL NOT NULL, touched_at REAL NOT NULL,
                deleted INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
            CREATE TABLE streams (stream_key TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES sessions,
                stream_id TEXT NOT NULL, started_at REAL NOT NULL, ended INTEGER NOT NULL DEFAULT 0);
            CREATE TABLE segments (stream_key TEXT NOT NULL REFERENCES streams, segment_id INTEGER NOT NULL,
                text TEXT NOT NULL, language TEXT NOT NULL, confidence REAL NOT NULL, start_ms INTEGER NOT NULL,
                end_ms INTEGER NOT NULL, words BLOB NOT NULL, PRIMARY KEY (stream_key, segment_id)) WITHOUT ROWID;
            INSERT INTO sessions (session_id, created_at, touched_at) VALUES ('s1', 1.0, 1.0);
            INSERT INTO streams VALUES ('k1', 's1', 'abc', 5.0, 0);
            INSERT INTO segments VALUES ('k1', 1, 'said', 'en', 0.5, 10, 15, '[]');
            """
        )
    store = SqliteStore(path)
    await store.start()
    await done(store.add_segment("s1", "k1", segment(2), b"state"))
    left = await store.claim("s1")
    await store.close()
    assert left is not None
    assert [one.text for one in left.streams[0].segments] == ["said", "said"]


async def test_a_file_is_readable_by_another_process_once_the_future_is_done(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    store = SqliteStore(path)
    await store.start()
    fill(store, "s1", "k1")
    await done(store.add_segment("s1", "k1", segment(1), None))
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
    gone = await second.claim("s2")
    assert gone is not None
    assert gone.deleted
    await second.close()
    assert b"said" not in path.read_bytes().replace(b"said", b"", 2)  # one text, one word: nothing of s2


async def limit_pages(store: SqliteStore, pages: int) -> None:
    """Let the file grow to this many pages, like a full disk; 0 for the pages that it has."""
    await store._queue.ask(lambda: store._db.execute(f"PRAGMA max_page_count = {pages or 1}").fetchone())


ANY_SIZE = 2**30


@pytest.mark.parametrize("repeated_by", ["write", "sweep", "close"])
async def test_what_a_full_disk_refuses_is_written_in_order_when_there_is_room(
    tmp_path: Path, clock: Clock, repeated_by: str
) -> None:
    path = tmp_path / "t.db"
    store = SqliteStore(path, clock)
    await store.start()
    await done(fill(store, "s1", "k1", segment(1)))
    await limit_pages(store, 0)
    long = segment(2, "long " * 5000)
    for write in (
        store.add_segment("s1", "k1", long, b"state"),
        store.end_stream("s1", "k1", b"at its end"),
        store.release("s1", closed=True),
    ):
        with pytest.raises(StoreError, match="SQLITE_FULL"):
            await done(write)
    await limit_pages(store, ANY_SIZE)
    if repeated_by == "write":
        await done(store.begin_session("s2"))
    elif repeated_by == "sweep":
        assert await store.sweep(50.0) == 0
    else:
        await store.close()
        store = SqliteStore(path, clock)
        await store.start()
    left = await store.claim("s1")
    await store.close()
    assert left is not None
    assert left.closed
    assert [(each.ended, each.state) for each in left.streams] == [(True, b"at its end")]
    assert left.streams[0].segments == (segment(1), long)


async def test_no_more_writes_are_kept_for_a_full_disk_than_may_wait(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.store.sqlite_queue.MAX_PENDING_WRITES", 20)
    store = SqliteStore(tmp_path / "t.db", clock)
    await store.start()
    await done(fill(store, "s1", "k1"))
    await limit_pages(store, 0)
    for number in range(20):
        with pytest.raises(StoreError, match="SQLITE_FULL"):
            await done(store.add_segment("s1", "k1", segment(number, "long " * 5000), None))
    with pytest.raises(StoreError, match="too many writes"):
        await done(store.add_segment("s1", "k1", segment(20), None))
    assert await store.transcript("s1") is not None
    await limit_pages(store, ANY_SIZE)
    await store.sweep(50.0)
    left = await store.claim("s1")
    await store.close()
    assert left is not None
    assert [each.segment_id for each in left.streams[0].segments] == list(range(20))


async def test_what_a_full_disk_refused_does_not_bring_a_deleted_session_back(tmp_path: Path, clock: Clock) -> None:
    store = SqliteStore(tmp_path / "t.db", clock)
    await store.start()
    await done(fill(store, "s1", "k1", segment(1)))
    await limit_pages(store, 0)
    for write in (store.add_segment("s1", "k1", segment(2, "long " * 5000), None), store.begin_session("s1")):
        with pytest.raises(StoreError):
            await done(write)
    await limit_pages(store, ANY_SIZE)
    assert await store.delete("s1")
    await done(store.begin_session("s2"))
    left = await store.claim("s1")
    await store.close()
    assert left is not None
    assert left.deleted
    assert left.streams == ()


async def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    path.write_bytes(b"no database at all, but long enough to be looked at " * 40)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="SQLITE_NOTADB"):
        await store.start()
    await store.close()
