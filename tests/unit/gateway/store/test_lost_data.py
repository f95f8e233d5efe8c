"""A Redis that restarts without its data: sessions are entered again as they were, apart from their finals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import Future

import pytest
import redis.asyncio

from bench.harness.redis_server import running_redis
from gateway.store.base import SessionUnknownError, StoredSession, StoreError, StreamStart
from gateway.store.redis import RedisStore
from gateway.transcript import Segment

PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as connected:
        await connected.flushall()
        yield connected


class Gateway:
    """One gateway's store, and the losses that it reports as (session id, number of finals)."""

    def __init__(self, url: str, lease_s: float) -> None:
        self.now = 1000.0
        self.store = RedisStore(url, retention_s=50.0, lease_s=lease_s, clock=lambda: self.now)
        self.forgotten: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
        self.store.watch(lambda *_: None, lambda *loss: self.forgotten.put_nowait(loss))

    def losses(self) -> list[tuple[str, int]]:
        return [self.forgotten.get_nowait() for _ in range(self.forgotten.qsize())]

    def begin_stream(self, stream_key: str) -> Future[None]:
        return self.store.begin_stream(StreamStart("s1", stream_key, f"stream-{stream_key}", started_at=5.0))

    def say(self, stream_key: str, number: int, state: bytes | None = None) -> Future[None]:
        spoken = Segment(number, f"said {number}", "en", 0.5, 10 * number, 10 * number + 5)
        return self.store.add_segment("s1", stream_key, spoken, state)

    async def left(self) -> StoredSession:
        found = await self.store.claim("s1")
        assert found is not None
        return found


@pytest.fixture
async def gateway(client: redis.asyncio.Redis, redis_url: str) -> AsyncIterator[Gateway]:
    """A gateway with a long lease: it renews no lease during a test."""
    async for each in _started(redis_url, 600.0):
        yield each


@pytest.fixture
async def other(client: redis.asyncio.Redis, redis_url: str) -> AsyncIterator[Gateway]:
    async for each in _started(redis_url, 600.0):
        yield each


@pytest.fixture
async def renewing(client: redis.asyncio.Redis, redis_url: str) -> AsyncIterator[Gateway]:
    """A gateway that renews its leases all the time."""
    async for each in _started(redis_url, 0.5):
        yield each


async def _started(url: str, lease_s: float) -> AsyncIterator[Gateway]:
    gateway = Gateway(url, lease_s)
    await gateway.store.start()
    yield gateway
    await gateway.store.close()


async def done(write: Future[None] | Awaitable[object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await (asyncio.wrap_future(write) if isinstance(write, Future) else write)


async def forgotten(write: Future[None]) -> None:
    """Wait until a write is reported as lost, and the store has repeated it."""
    with pytest.raises(SessionUnknownError):
        await done(write)


def states(session: StoredSession) -> list[tuple[str, bool, bytes, int]]:
    return [(each.stream_key, each.ended, each.state, len(each.segments)) for each in session.streams]


async def one_ended_and_one_open(gateway: Gateway) -> None:
    gateway.store.begin_session("s1")
    gateway.begin_stream("k1")
    gateway.say("k1", 1, b"k1 at 1")
    gateway.store.end_stream("s1", "k1", b"k1 at its end")
    gateway.begin_stream("k2")
    gateway.say("k2", 1, b"k2 at 1")
    await done(gateway.say("k2", 2))


async def test_a_stream_that_ended_stays_ended(client: redis.asyncio.Redis, gateway: Gateway, other: Gateway) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    gateway.now += 9.0
    await forgotten(gateway.say("k2", 3))
    await done(gateway.say("k2", 4, b"k2 at 4"))
    transcript = await gateway.store.transcript("s1")
    assert transcript is not None
    assert [(each.stream_id, each.ended) for each in transcript.streams] == [("stream-k1", True), ("stream-k2", False)]
    assert transcript.created_at == 1000.0
    assert states(await other.left()) == [("k1", True, b"k1 at its end", 0), ("k2", False, b"k2 at 4", 2)]
    assert gateway.losses() == [("s1", 3)]


async def test_a_stream_whose_end_a_failover_lost_is_ended_again(
    client: redis.asyncio.Redis, gateway: Gateway, other: Gateway
) -> None:
    gateway.store.begin_session("s1")
    gateway.begin_stream("k1")
    await done(gateway.say("k1", 1, b"k1 at 1"))
    keys = [key async for key in client.scan_iter("*{s1}*")]
    replica = {key: await client.dump(key) for key in keys}
    gateway.store.end_stream("s1", "k1", b"k1 at its end")
    await done(gateway.begin_stream("k2"))
    await client.flushall()
    for key, held in replica.items():
        await client.restore(key, 0, held)
    await forgotten(gateway.say("k2", 1, b"k2 at 1"))
    await done(gateway.store.begin_session("s1"))
    assert states(await other.left()) == [("k1", True, b"k1 at its end", 1), ("k2", False, b"k2 at 1", 1)]


async def test_a_claimed_session_is_entered_again_as_it_was_claimed(
    client: redis.asyncio.Redis, gateway: Gateway, other: Gateway
) -> None:
    await one_ended_and_one_open(gateway)
    await other.left()
    await client.flushall()
    other.now += 9.0
    await forgotten(other.say("k2", 3))
    await done(other.say("k2", 4))
    left = await gateway.left()
    assert states(left) == [("k1", True, b"k1 at its end", 0), ("k2", False, b"k2 at 1", 2)]
    assert left.created_at == 1000.0
    assert other.losses() == [("s1", 3)]


async def test_an_end_that_meets_the_empty_redis_is_kept(client: redis.asyncio.Redis, gateway: Gateway) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    last, end = gateway.say("k2", 3, b"k2 at 3"), gateway.store.end_stream("s1", "k2", b"k2 at its end")
    await forgotten(last)
    await forgotten(end)
    await done(gateway.store.begin_session("s1"))
    assert states(await gateway.left()) == [("k1", True, b"k1 at its end", 0), ("k2", True, b"k2 at its end", 1)]


async def test_streams_keep_their_order_when_a_new_one_meets_the_empty_redis(
    client: redis.asyncio.Redis, gateway: Gateway
) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    writes = [gateway.store.begin_session("s1"), gateway.begin_stream("k3"), gateway.say("k3", 1, b"k3 at 1")]
    for write in writes:
        await forgotten(write)
    await done(gateway.store.begin_session("s1"))
    assert [each.stream_key for each in (await gateway.left()).streams] == ["k1", "k2", "k3"]
    assert gateway.losses() == [("s1", 3)]


async def test_each_loss_is_reported_once_for_each_session(client: redis.asyncio.Redis, gateway: Gateway) -> None:
    await one_ended_and_one_open(gateway)
    await done(gateway.store.begin_session("untouched"))
    for lost in (3, 2):
        await client.flushall()
        for write in [gateway.say("k2", 10 * lost), gateway.say("k2", 10 * lost + 1)]:
            await forgotten(write)
        await done(gateway.store.begin_session("s1"))
        assert gateway.losses() == [("s1", lost)]


async def test_a_quiet_session_is_entered_again_with_its_lease(
    client: redis.asyncio.Redis, renewing: Gateway, other: Gateway
) -> None:
    await one_ended_and_one_open(renewing)
    await client.flushall()
    async with asyncio.timeout(PATIENCE_S):
        assert await renewing.forgotten.get() == ("s1", 3)
        await renewing.store._queue.emptied.wait()
    assert states(await other.left()) == [("k1", True, b"k1 at its end", 0), ("k2", False, b"k2 at 1", 0)]
    assert renewing.losses() == []


async def test_a_session_that_ends_on_an_empty_redis_is_kept_and_closed(
    client: redis.asyncio.Redis, gateway: Gateway, other: Gateway
) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    gateway.say("k2", 3)
    gateway.store.end_stream("s1", "k2", b"k2 at its end")
    await forgotten(gateway.store.release("s1", closed=True))
    await done(gateway.store._queue.emptied.wait())
    left = await other.left()
    assert left.closed
    assert states(left) == [("k1", True, b"k1 at its end", 0), ("k2", True, b"k2 at its end", 1)]


async def test_an_outdated_release_does_not_close_the_session_that_follows(
    client: redis.asyncio.Redis, gateway: Gateway, other: Gateway
) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    release = gateway.store.release("s1", closed=True)
    await done(gateway.store.begin_session("s1"))
    await forgotten(release)
    await done(gateway.store._queue.emptied.wait())
    assert not (await other.left()).closed


async def test_a_session_whose_lease_expired_is_still_closed(client: redis.asyncio.Redis, gateway: Gateway) -> None:
    await one_ended_and_one_open(gateway)
    await client.delete("talkup:{s1}:owner")
    await done(gateway.store.release("s1", closed=True))
    assert (await gateway.left()).closed


async def test_a_session_deleted_on_an_empty_redis_does_not_come_back(
    client: redis.asyncio.Redis, gateway: Gateway, other: Gateway
) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    assert await gateway.store.delete("s1")
    for write in (gateway.say("k2", 3), gateway.store.begin_session("s1")):
        with pytest.raises(StoreError):
            await done(write)
    assert (await other.left()).deleted


async def test_a_deleted_session_is_not_entered_again_when_redis_loses_the_deletion_too(
    client: redis.asyncio.Redis, gateway: Gateway, other: Gateway
) -> None:
    await one_ended_and_one_open(gateway)
    assert await gateway.store.delete("s1")
    await client.flushall()
    await forgotten(gateway.say("k2", 3))
    await gateway.store._renew(["s1"])
    await done(gateway.store._queue.emptied.wait())
    assert await other.store.claim("s1") is None
    assert gateway.losses() == []


async def test_a_session_that_is_entered_again_keeps_its_owner(client: redis.asyncio.Redis, gateway: Gateway) -> None:
    await done(gateway.store.begin_session("s1", "a"))
    await client.flushall()
    await gateway.store._renew(["s1"])
    await done(gateway.store._queue.emptied.wait())
    assert await gateway.store.owner("s1") == "a"


async def test_deleting_an_unknown_session_forbids_its_id(gateway: Gateway) -> None:
    assert not await gateway.store.delete("s1")
    assert not await gateway.store.delete("s1")
    left = await gateway.store.claim("s1")
    assert left is not None
    assert left.deleted


async def test_touching_enters_a_lost_session_again(client: redis.asyncio.Redis, gateway: Gateway) -> None:
    await one_ended_and_one_open(gateway)
    await client.flushall()
    assert await gateway.store.touch(["s1"]) == 0
    await done(gateway.store._queue.emptied.wait())
    assert states(await gateway.left()) == [("k1", True, b"k1 at its end", 0), ("k2", False, b"k2 at 1", 0)]
    assert gateway.losses() == [("s1", 3)]


async def test_a_session_whose_first_write_still_waits_is_not_taken_for_lost(gateway: Gateway) -> None:
    written = gateway.store.begin_session("s1")
    await gateway.store._renew(["s1"])
    await done(written)
    await done(gateway.store._queue.emptied.wait())
    assert gateway.losses() == []


async def test_a_refused_renewal_is_an_error(client: redis.asyncio.Redis, gateway: Gateway) -> None:
    await one_ended_and_one_open(gateway)
    await client.delete("talkup:{s1}:owner")
    await client.lpush("talkup:{s1}:owner", "of another type")
    with pytest.raises(StoreError, match="refused a renewal"):
        await gateway.store.touch(["s1"])
