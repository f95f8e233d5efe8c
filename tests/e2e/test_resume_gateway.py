"""No words are lost when a gateway dies or shuts down: its clients continue at its successor."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bench.harness.cluster import Cluster, cluster, speaking
from bench.harness.redis_server import running_redis
from bench.harness.stack import KEY
from workers.fake.engine import expected_words

PATIENCE_S = 40.0


def media(seed: int, size: int = 60_300) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def redis_url(tmp_path: Path) -> Iterator[str]:
    with running_redis(tmp_path) as url:
        yield url


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Cluster]:
    """One gateway on SQLite."""
    with cluster(tmp_path, f"sqlite:///{tmp_path / 'gateway.db'}") as found:
        yield found


@pytest.fixture
def pair(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    """Two gateways on one Redis."""
    with cluster(tmp_path, redis_url, gateways=2, workers=2) as found:
        yield found


async def kept_words(url: str, session_id: str) -> list[str]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{url}/v1/sessions/{session_id}/transcript?format=txt") as response,
    ):
        assert response.status == 200
        return (await response.text()).split()


async def test_a_killed_gateway_is_started_again_on_its_file(alone: Cluster) -> None:
    """Twice, so that the second kill hits a stream that was resumed before."""
    seat, spoken = alone.seats[0], media(1)
    async with asyncio.timeout(PATIENCE_S), speaking([seat.ws_url], spoken) as (client, speaker):
        session_id = client.session_id
        for heard in (5, 30):
            await speaker.say(speaker.chunks // 3)
            await speaker.hear(heard)
            seat.kill()
            seat.begin()
        words = await speaker.finish()
        assert client.session_id == session_id
        assert words == expected_words(spoken)
        assert await kept_words(seat.http_url, session_id) == words


async def test_a_gateway_without_token_secret_knows_its_clients_after_a_restart(alone: Cluster) -> None:
    """The secret is kept next to the store; if it is lost, the client's key is enough."""
    seat, spoken = alone.seats[0], media(7)
    seat.stop()
    del seat.settings["GATEWAY_TOKEN_SECRET"]
    seat.begin()
    seat.ready()
    secret = alone.folder / "gateway.db.secret"
    async with asyncio.timeout(PATIENCE_S), speaking([seat.ws_url], spoken) as (client, speaker):
        session_id = client.session_id
        for kept in (True, False):
            await speaker.say(speaker.chunks // 3)
            before = secret.read_bytes()
            seat.kill()
            if not kept:
                secret.unlink()
            seat.begin()
            await asyncio.to_thread(seat.ready)
            assert (secret.read_bytes() == before) is kept
        assert await speaker.finish() == expected_words(spoken)
        assert client.session_id == session_id


async def test_another_gateway_takes_over_from_a_killed_one(pair: Cluster) -> None:
    first, second = pair.seats
    spoken = media(2)
    async with asyncio.timeout(PATIENCE_S), speaking(pair.urls(), spoken) as (client, speaker):
        await speaker.say(speaker.chunks // 2)
        await speaker.hear(10)
        first.kill()
        words = await speaker.finish()
        assert words == expected_words(spoken)
        assert await kept_words(second.http_url, client.session_id) == words


async def test_the_only_word_was_the_end(alone: Cluster) -> None:
    """Killed after the end was said and before the last word came: both are said again."""
    seat, spoken = alone.seats[0], media(3, 20_500)
    async with asyncio.timeout(PATIENCE_S), speaking([seat.ws_url], spoken) as (_, speaker):
        alone.workers[0].signal(signal.SIGSTOP)
        ending = asyncio.create_task(speaker.finish())
        await asyncio.wait([ending], timeout=0.2)
        seat.kill()
        alone.workers[0].signal(signal.SIGCONT)
        seat.begin()
        assert await ending == expected_words(spoken)


async def test_a_drained_gateway_leaves_its_streams_to_the_other(pair: Cluster) -> None:
    first, _ = pair.seats
    spoken = media(4)
    async with asyncio.timeout(PATIENCE_S), speaking(pair.urls(), spoken) as (_, speaker):
        await speaker.say(speaker.chunks // 2)
        await speaker.hear(10)
        assert first.program is not None
        first.program.signal(signal.SIGTERM)
        assert await asyncio.to_thread(first.program.process.wait, 10) == 0
        assert await speaker.finish() == expected_words(spoken)


async def test_a_frozen_gateway_that_comes_back_may_not_write(pair: Cluster) -> None:
    """The client continues elsewhere; the store refuses later writes of the frozen gateway."""
    first, second = pair.seats
    spoken = media(5)
    async with asyncio.timeout(PATIENCE_S), speaking(pair.urls(), spoken) as (client, speaker):
        await speaker.say(speaker.chunks // 2)
        await speaker.hear(10)
        assert first.program is not None
        first.program.signal(signal.SIGSTOP)
        assert client._transport is not None
        client._transport.abort()
        client.gateways.rotate()
        await speaker.say(speaker.chunks // 4)
        await speaker.hear(35)
        first.program.signal(signal.SIGCONT)
        words = await speaker.finish()
        assert words == expected_words(spoken)
        assert await kept_words(second.http_url, client.session_id) == words


async def test_rolling_restart_of_everything_under_ten_streams(tmp_path: Path, redis_url: str) -> None:
    with cluster(tmp_path, redis_url, gateways=2, workers=3) as found:

        async def call(number: int, go_on: asyncio.Event) -> bool:
            spoken = media(100 + number, 40_900)
            urls = found.urls() if number % 2 else found.urls()[::-1]
            async with speaking(urls, spoken) as (_, speaker):
                while not go_on.is_set():
                    await speaker.say(1)
                    await asyncio.wait([asyncio.ensure_future(go_on.wait())], timeout=0.25)
                return await speaker.finish() == expected_words(spoken)

        go_on = asyncio.Event()
        async with asyncio.timeout(PATIENCE_S):
            calls = [asyncio.create_task(call(number, go_on)) for number in range(10)]
            for index in range(3):
                await asyncio.to_thread(found.restart_worker, index)
            for seat in found.seats:
                await asyncio.to_thread(seat.stop)
                seat.begin()
                await asyncio.to_thread(seat.ready)
            go_on.set()
            assert all(await asyncio.gather(*calls))
