"""The stores, in memory, in a file and in Redis, for the tests of all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from bench.harness.redis_server import running_redis
from gateway.store.base import Store
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_shared import SharedSqliteStore
from tests.unit.gateway.store.helpers import LEASE_S, Clock, flush


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
async def fresh_redis(redis_url: str) -> str:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushall()
    return redis_url


@pytest.fixture(params=["memory", "file", "shared file", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    store: Store
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        async with redis.asyncio.Redis.from_url(url) as client:
            await client.flushall()
        store = RedisStore(url, retention_s=50.0, lease_s=LEASE_S, clock=clock)
    elif request.param == "shared file":
        store = SharedSqliteStore(tmp_path / "deep" / "t.db", clock)
    else:
        store = SqliteStore(tmp_path / "deep" / "t.db" if request.param == "file" else None, clock)
    await store.start()
    yield store
    await store.close()


@pytest.fixture
async def two_on_redis(fresh_redis: str) -> AsyncIterator[tuple[RedisStore, RedisStore]]:
    """Two gateways' stores on one server."""
    pair = tuple(RedisStore(fresh_redis, retention_s=50.0, lease_s=LEASE_S) for _ in range(2))
    for each in pair:
        await each.start()
    yield pair[0], pair[1]
    for each in pair:
        await each.close()


@pytest.fixture(params=["shared file", "redis"])
async def two(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Store, Store]]:
    """The stores of two gateways that share one file or one server."""
    pair: list[Store]
    if request.param == "redis":
        url = request.getfixturevalue("redis_url")
        await flush(url)
        pair = [RedisStore(url, retention_s=50.0, lease_s=LEASE_S) for _ in range(2)]
    else:
        pair = [SharedSqliteStore(tmp_path / "t.db") for _ in range(2)]
    for each in pair:
        await each.start()
    yield pair[0], pair[1]
    for each in pair:
        await each.close()
