"""How something is said, through gateway and workers: each result once, whoever dies, and a report of it all."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from talkup_client import AnalysisResult, Client, StreamEnded

from bench.harness.cluster import PCM, Cluster, cluster, speaking
from bench.harness.fault_proxy import fault_proxy
from bench.harness.redis_server import running_redis
from bench.harness.stack import HOST, KEY
from workers.fake.engine import expected_words

PATIENCE_S = 60.0
BYTES_PER_S = 32_000
STARTED_AT = 1_739_592_334_000
CHUNK = 3200


def media(seed: int, seconds: float) -> bytes:
    return random.Random(seed).randbytes(int(seconds * BYTES_PER_S))


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A gateway and a worker that nobody kills."""
    folder = tmp_path_factory.mktemp("steady")
    with cluster(folder, f"sqlite:///{folder / 'gateway.db'}") as found:
        yield found


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Cluster]:
    """One gateway on SQLite and two workers."""
    with cluster(tmp_path, f"sqlite:///{tmp_path / 'gateway.db'}", workers=2) as found:
        yield found


async def analysed(found: Cluster, said: bytes, services: Sequence[str] = ("stt", "delivery")) -> list[dict[str, Any]]:
    """What an undisturbed stream gets."""
    async with speaking(found.urls(), said, CHUNK, services=services, started_at=STARTED_AT) as (_, speaker):
        await speaker.finish()
        return plain(speaker.analyses)


def plain(analyses: Sequence[AnalysisResult]) -> list[dict[str, Any]]:
    """Everything about them but the name of their stream, which the client chooses."""
    return [{name: value for name, value in each.data.items() if name != "stream_id"} for each in analyses]


def lasting(analyses: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Windows, events and summary. A frame is no part of what lasts, even where an event came with it."""
    kept = [each for each in analyses if each["delivery"]["frame"] is None or each["events"]]
    return [{**each, "delivery": {**each["delivery"], "frame": None}} for each in kept]


async def get(
    found: Cluster, path: str, *, credential: str = KEY, seat: int = 0, **options: Any
) -> tuple[int, Any, str]:
    """Status, body and content type of an answer."""
    headers = {"Authorization": f"Bearer {credential}", **options.pop("headers", {})}
    async with (
        aiohttp.ClientSession() as http,
        http.request(options.pop("method", "GET"), f"{found.seats[seat].http_url}{path}", headers=headers) as answer,
    ):
        is_json = answer.content_type == "application/json"
        return answer.status, await (answer.json() if is_json else answer.text()), answer.content_type


async def test_every_result_comes_once_over_two_killed_workers(fragile: Cluster) -> None:
    said = media(1, 24.7)
    async with asyncio.timeout(PATIENCE_S):
        expected = await analysed(fragile, said)
        options = {"services": ["stt", "delivery"], "started_at": STARTED_AT}
        async with speaking(fragile.urls(), said, CHUNK, **options) as (_, speaker):
            for index, heard in ((0, 50), (1, 400)):
                await speaker.say(speaker.chunks // 3)
                await speaker.hear(heard)
                fragile.workers[index].signal(signal.SIGKILL)
                fragile.restart_worker(index)
            assert await speaker.finish() == expected_words(said)
    found = plain(speaker.analyses)
    assert [each["frame_seq"] for each in found] == list(range(len(found)))
    assert found == expected
    assert [w["t0_ms"] for each in found if (w := each["delivery"]["window"])] == [0, 10_000]
    assert sum(each["delivery"]["frame"] is not None for each in found) == 24
    assert found[-1]["delivery"]["summary"]["whole"]["words"] == len(expected_words(said))


async def test_what_lasts_comes_once_over_a_gateway_that_is_killed_twice(fragile: Cluster) -> None:
    said, seat = media(2, 32.3), fragile.seats[0]
    async with asyncio.timeout(PATIENCE_S):
        expected = await analysed(fragile, said)
        options = {"services": ["stt", "delivery"], "started_at": STARTED_AT}
        async with speaking(fragile.urls(), said, CHUNK, **options) as (client, speaker):
            for heard in (50, 500):
                await speaker.say(speaker.chunks // 3)
                await speaker.hear(heard)
                seat.kill()
                seat.begin()
            assert await speaker.finish() == expected_words(said)
            found = plain(speaker.analyses)
            _, report, _ = await get(fragile, f"/v1/sessions/{client.session_id}/report")
    assert lasting(found) == lasting(expected)
    numbers = [each["frame_seq"] for each in found]
    assert numbers == sorted(set(numbers)), "a frame may be lost with a gateway; none comes twice"
    assert len(found) > len(expected) / 2
    assert report["speakers"][0]["measures"]["words_per_minute"]["value"] == pytest.approx(
        expected[-1]["delivery"]["summary"]["whole"]["words_per_minute"]["value"]
    )


async def test_what_lasts_comes_once_over_a_line_that_breaks(steady: Cluster) -> None:
    said = media(10, 32.3)
    async with asyncio.timeout(PATIENCE_S), fault_proxy(steady.seats[0].ws_port) as proxy:
        expected = await analysed(steady, said)
        options = {"services": ["stt", "delivery"], "started_at": STARTED_AT}
        url = f"ws://{HOST}:{proxy.port}/ws"
        async with speaking([url], said, CHUNK, **options) as (_, speaker):
            for heard in range(100, 900, 100):
                await speaker.say(speaker.chunks // 9)
                await speaker.hear(heard)
                assert proxy.reset() == 1
            assert await speaker.finish() == expected_words(said)
    found = plain(speaker.analyses)
    assert lasting(found) == lasting(expected)
    numbers = [each["frame_seq"] for each in found]
    assert numbers == sorted(set(numbers))


async def test_another_gateway_continues_where_a_killed_one_was(tmp_path: Path) -> None:
    said = media(4, 22.5)
    with running_redis(tmp_path) as url, cluster(tmp_path, url, gateways=2) as pair:
        async with asyncio.timeout(PATIENCE_S):
            expected = await analysed(pair, said)
            options = {"services": ["stt", "delivery"], "started_at": STARTED_AT}
            async with speaking(pair.urls(), said, CHUNK, **options) as (client, speaker):
                await speaker.say(speaker.chunks // 2)
                await speaker.hear(300)
                pair.seats[0].kill()
                assert await speaker.finish() == expected_words(said)
                path = f"/v1/sessions/{client.session_id}/report"
                status, report, _ = await get(pair, path, seat=1)
    assert lasting(plain(speaker.analyses)) == lasting(expected)
    assert (status, report["complete"]) == (200, True)


async def test_delivery_alone_has_no_words(steady: Cluster) -> None:
    said = media(3, 11.0)
    async with (
        asyncio.timeout(PATIENCE_S),
        speaking(steady.urls(), said, CHUNK, services=["verbal-analyzer"]) as (_, speaker),
    ):
        assert await speaker.finish() == []
    found = plain(speaker.analyses)
    assert {each["service_type"] for each in found} == {"delivery"}
    (window,) = [w for each in found if (w := each["delivery"]["window"])]
    assert window["words_per_minute"] is None
    assert window["loudness_lufs"] == {"value": -23.0, "confidence": 1.0}
    status, body, _ = await get(steady, "/metrics")
    assert status == 200
    assert 'gateway_tasks_total{outcome="ended",service="delivery"} 1.0' in body


async def test_who_began_second_talks_over_the_first(steady: Cluster) -> None:
    """Two speakers of five seconds, the second two seconds later."""
    events: list[tuple[str, dict[str, Any]]] = []
    async with asyncio.timeout(PATIENCE_S), Client(steady.urls(), key=KEY) as client:
        starts = {"services": ["stt", "delivery"], "format": PCM}
        async with (
            client.stream(started_at=STARTED_AT, **starts) as first,
            client.stream(started_at=STARTED_AT + 2000, **starts) as second,
        ):
            for seed, stream in enumerate((first, second)):
                for at in range(0, 5 * BYTES_PER_S, CHUNK):
                    await stream.send(media(seed, 5)[at : at + CHUNK])
            for stream in (first, second):
                await stream.end()
                async for event in stream:
                    if isinstance(event, AnalysisResult):
                        events += [(stream.stream_id, each) for each in event.data["events"]]
                    assert not isinstance(event, StreamEnded) or event.text
            overlaps = [(name, event) for name, event in events if event["type"] == "talking_over"]
            expected = {"type": "talking_over", "t0_ms": 0, "t1_ms": 3000, "confidence": 1.0}
            assert overlaps == [(second.stream_id, expected)]
            _, report, _ = await get(steady, f"/v1/sessions/{client.session_id}/report")
    (overlap,) = [each for each in report["events"] if each["type"] == "talking_over"]
    assert (overlap["t0_ms"], overlap["t1_ms"]) == (2000, 5000)


async def said_in(steady: Cluster, seed: int) -> str:
    """A session with a stream that has ended; its id."""
    options = {"services": ["stt", "delivery"], "started_at": STARTED_AT}
    async with speaking(steady.urls(), media(seed, 10.5), CHUNK, **options) as (client, speaker):
        await speaker.finish()
        return client.session_id


async def test_a_report_is_json_or_a_page_in_the_caller_s_language(steady: Cluster) -> None:
    session_id = await said_in(steady, 5)
    path = f"/v1/sessions/{session_id}/report"
    status, report, _ = await get(steady, path)
    assert (status, report["session_id"], len(report["speakers"])) == (200, session_id, 1)
    for query, headers, language in (
        ("?format=html&lang=fr", {}, "fr"),
        ("?lang=en", {"Accept": "text/html"}, "en"),
        ("", {"Accept": "text/html", "Accept-Language": "de, fr-CA;q=0.8, en;q=0.5"}, "fr"),
    ):
        status, page, content_type = await get(steady, f"{path}{query}", headers=headers)
        assert (status, content_type) == (200, "text/html")
        assert f'<html lang="{language}"' in page
    for query, field in (("?format=pdf", "format"), ("?lang=tlh", "lang")):
        status, body, _ = await get(steady, f"{path}{query}")
        assert (status, body["error"]["code"], body["error"]["field"]) == (400, "bad_message", field)


async def test_a_page_runs_and_loads_nothing(steady: Cluster) -> None:
    path = f"/v1/sessions/{await said_in(steady, 6)}/report?format=html"
    url = f"{steady.seats[0].http_url}{path}"
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as http, http.get(url) as answer:
        policy, page = answer.headers["Content-Security-Policy"], await answer.text()
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert "<script" not in page


async def test_a_report_compares_with_an_earlier_session_that_its_caller_may_read(steady: Cluster) -> None:
    earlier, later = await said_in(steady, 7), await said_in(steady, 8)
    status, report, _ = await get(steady, f"/v1/sessions/{later}/report?compare={earlier}")
    assert (status, report["comparison"]["session_id"]) == (200, earlier)
    _, minted, _ = await get(steady, f"/v1/sessions/{later}/tokens", method="POST")
    path = f"/v1/sessions/{later}/report"
    assert (await get(steady, path, credential=minted["token"]))[0] == 200
    for other in (earlier, "no-such-session"):
        status, body, _ = await get(steady, f"{path}?compare={other}", credential=minted["token"])
        assert (status, body["error"]["code"]) == (403, "permission_denied")
    status, body, _ = await get(steady, f"{path}?compare=no-such-session")
    assert (status, body["error"]["code"], body["error"]["field"]) == (404, "session_expired", "compare")


async def test_a_report_is_gone_with_its_session(steady: Cluster) -> None:
    session_id = await said_in(steady, 9)
    path = f"/v1/sessions/{session_id}/report"
    assert (await get(steady, path))[0] == 200
    assert (await get(steady, f"/v1/sessions/{session_id}", method="DELETE"))[0] == 204
    status, body, _ = await get(steady, path)
    assert (status, body["error"]["code"]) == (404, "session_expired")
    assert (await get(steady, path, credential="not-a-key"))[0] == 401
