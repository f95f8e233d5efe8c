"""TalkUp's unchanged web app reconnects to the same URL with a restarted recorder; it never resends.

Whatever happens to the gateway meanwhile, no committed word is lost or doubled, and every loss is reported.
"""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bench.harness.cluster import Cluster, Seat, cluster
from bench.harness.redis_server import running_redis
from bench.harness.stack import KEY
from tests.e2e.wire import Wire, open_wire
from workers.fake.engine import expected_words

HEADER = b"\x1a\x45\xdf\xa3"
CHUNK = 1700


def recording(seed: int, chunks: int) -> list[bytes]:
    """What a recorder gives: the first chunk begins with the container's magic."""
    data = HEADER + random.Random(seed).randbytes(chunks * CHUNK - len(HEADER))
    return [data[at : at + CHUNK] for at in range(0, len(data), CHUNK)]


async def send(wire: Wire, number: int, chunk: bytes) -> None:
    await wire.send(
        {
            "type": "audio",
            "data": base64.b64encode(chunk).decode(),
            "timestamp": 1739592334000,
            "mimeType": "audio/webm;codecs=opus",
            "sequenceNumber": number,
        }
    )


class Call:
    """What TalkUp's backend has: the session and its token, valid at every gateway."""

    def __init__(self, session_id: str, token: str) -> None:
        self.session_id = session_id
        self._token = token

    @classmethod
    async def begin(cls, seat: Seat) -> Call:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with (
            aiohttp.ClientSession(headers=headers) as http,
            http.post(f"{seat.http_url}/v1/sessions") as response,
        ):
            body = await response.json()
        return cls(body["session_id"], body["token"])

    def url(self, seat: Seat) -> str:
        return f"{seat.ws_url}?token={self._token}"

    async def words(self, seat: Seat, last: str = "") -> list[str]:
        """The transcript, once it holds `last`."""
        url = f"{seat.http_url}/v1/sessions/{self.session_id}/transcript?format=txt"
        async with asyncio.timeout(30), aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
            while True:
                async with http.get(url) as response:
                    text = await response.text() if response.status == 200 else ""
                if last in text:
                    return text.split()
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("talkup")
    with cluster(folder, f"sqlite:///{folder / 'gateway.db'}") as found:
        yield found


async def talk(wire: Wire, chunks: list[bytes], finals: int) -> None:
    for number, chunk in enumerate(chunks):
        await send(wire, number, chunk)
    while len(wire.finals()) < finals:
        await wire.receive()


def codes(wire: Wire) -> list[str]:
    return [message["data"]["code"] for message in wire.seen if message["type"] == "error"]


async def test_a_lost_socket_loses_nothing(alone: Cluster) -> None:
    """The stale chunk is the next one of the old recording; the new recorder counts from 0."""
    seat, first, second = alone.seats[0], recording(1, 9), recording(2, 7)
    call = await Call.begin(seat)
    async with open_wire(call.url(seat), key=None) as wire:
        await talk(wire, first[:8], 1)
        wire.socket.transport.abort()
    async with open_wire(call.url(seat), key=None) as wire:
        await send(wire, 8, first[8])
        for number, chunk in enumerate(second):
            await send(wire, number, chunk)
        await wire.until("session")
    expected = expected_words(b"".join(first)) + expected_words(b"".join(second))
    assert await call.words(seat, expected[-1]) == expected
    assert codes(wire) == []


@pytest.mark.parametrize("stale", ["none", "later_chunk", "late_blob"])
async def test_a_killed_gateway_loses_no_committed_word(alone: Cluster, stale: str) -> None:
    """Only that gateway had the uncommitted media; its loss is reported."""
    seat, first, second = alone.seats[0], recording(3, 9), recording(4, 7)
    blob = random.Random(5).randbytes(CHUNK)
    call = await Call.begin(seat)
    async with open_wire(call.url(seat), key=None) as wire:
        await talk(wire, first, 1)
        seat.kill()
    seat.begin()
    await asyncio.to_thread(seat.ready)
    committed = await call.words(seat)
    assert committed == expected_words(b"".join(first))[: len(committed)]
    assert " ".join(committed).startswith(wire.text())
    numbered = list(enumerate(second))
    if stale == "later_chunk":
        numbered = [(20, blob), *numbered]
    elif stale == "late_blob":
        numbered = [(0, blob), *((number + 1, chunk) for number, chunk in numbered)]
    async with open_wire(call.url(seat), key=None) as wire:
        for number, chunk in numbered:
            await send(wire, number, chunk)
        while not wire.finals():
            await wire.receive()
        assert codes(wire) == ["gap"]
    rest = ([] if stale == "none" else expected_words(blob)) + expected_words(b"".join(second))
    assert await call.words(seat, rest[-1]) == committed + rest


async def test_a_drained_gateway_has_made_text_of_everything(tmp_path: Path) -> None:
    """A client that never resends loses nothing when the gateway restarts."""
    with running_redis(tmp_path) as store, cluster(tmp_path, store, gateways=2) as found:
        seat, other = found.seats
        first, second = recording(6, 9), recording(7, 7)
        call = await Call.begin(seat)
        async with open_wire(call.url(seat), key=None) as wire:
            await talk(wire, first, 1)
            await asyncio.to_thread(seat.stop)
            await wire.socket.wait_closed()
            assert wire.socket.close_code == 1012
        async with open_wire(call.url(other), key=None) as wire:
            for number, chunk in enumerate(second):
                await send(wire, number, chunk)
            await wire.until("transcript_update")
        expected = expected_words(b"".join(first)) + expected_words(b"".join(second))
        assert await call.words(other, expected[-1]) == expected
