"""Clients of dialects whose messages are refused again and again are read slowly; one with a mistake never waits.

The gateway's monotonic clock stands still, so no pace earns anything and each pause is counted once.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any, Protocol

import aiohttp
import pytest

from bench.harness.dialects import wyoming_event
from bench.harness.stack import free_port
from gateway.refusal_pace import FRAMES_BURST, MISTAKES, REFUSED_BURST
from tests.e2e.gateway_rig import KEY, PATIENCE_S, Rig, rig
from tests.fakes.worker_server import Script

NONSENSE = "nonsense"
BEARER = {"Authorization": f"Bearer {KEY}"}
SOUND = {"rate": 16_000, "width": 2, "channels": 1}


class Flood(Protocol):
    """A client of one door that sends so many messages that are refused, then ends its conversation."""

    async def __call__(self, at: Rig, refused: int) -> None: ...


async def deepgram(at: Rig, refused: int) -> None:
    url = at.url("/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000")
    async with at.http.ws_connect(url, headers={"Authorization": f"Token {KEY}"}) as socket:
        for _ in range(refused):
            await socket.send_str(NONSENSE)
        await socket.send_json({"type": "CloseStream"})
        kinds = [json.loads(message.data)["type"] async for message in socket]
    assert kinds.count("Error") == refused
    assert kinds[-1] == "Metadata"


async def realtime(at: Rig, refused: int) -> None:
    async with at.http.ws_connect(at.url("/v1/realtime?intent=transcription"), headers=BEARER) as socket:
        for _ in range(refused):
            await socket.send_str(NONSENSE)
        await socket.send_json({"type": "input_audio_buffer.clear"})
        kinds: list[str] = []
        while "input_audio_buffer.cleared" not in kinds:
            kinds.append((await socket.receive_json())["type"])
    assert kinds.count("error") == refused


async def telephony(at: Rig, refused: int) -> None:
    url = at.url("/v1/telephony?format=audio/l16;rate=8000")
    async with at.http.ws_connect(url, headers=BEARER) as socket:
        for _ in range(refused):
            await socket.send_str(NONSENSE)
        await socket.send_json({"event": "stop"})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def twilio(at: Rig, refused: int) -> None:
    sound = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    start = {"streamSid": "MZ1", "tracks": ["inbound"], "mediaFormat": sound, "customParameters": {"token": KEY}}
    async with at.http.ws_connect(at.url("/v1/twilio")) as socket:
        await socket.send_json({"event": "start", "sequenceNumber": "1", "start": start})
        for number in range(refused):
            await (socket.send_bytes(b"x") if number % 2 else socket.send_str(NONSENSE))
        await socket.send_json({"event": "stop", "sequenceNumber": "2"})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def twilio_before_start(at: Rig, refused: int, headers: Mapping[str, str] | None = None) -> None:
    start = {"streamSid": "MZ1", "tracks": ["inbound"], "customParameters": {"token": KEY}}
    media = {"event": "media", "sequenceNumber": "2", "media": {"payload": "AAAA"}}
    async with at.http.ws_connect(at.url("/v1/twilio"), headers=headers) as socket:
        await socket.send_json({"event": "connected", "protocol": "Call"})
        for message in islice(cycle([NONSENSE, json.dumps(media), b"x", '{"event": "mark"}']), refused):
            await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        await socket.send_json({"event": "start", "sequenceNumber": "1", "start": start})
        await socket.send_json({"event": "stop", "sequenceNumber": "3" if refused > 1 else "2"})
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000


async def twilio_of_a_key_before_start(at: Rig, refused: int) -> None:
    await twilio_before_start(at, refused, BEARER)


async def wyoming(at: Rig, refused: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.gateway.wyoming_port)
    writer.write(wyoming_event(NONSENSE) * refused + wyoming_event("ping", {"text": "there"}))
    assert json.loads(await reader.readline())["type"] == "pong"
    writer.close()
    await writer.wait_closed()


DOORS = [deepgram, realtime, telephony, twilio, twilio_before_start, twilio_of_a_key_before_start, wyoming]


@asynccontextmanager
async def served(clock: Callable[[], float] = time.time, **values: str) -> AsyncIterator[Rig]:
    now = time.monotonic()
    settings: dict[str, Any] = {"wyoming_port": str(free_port()), "wyoming_key": KEY, "ping_interval_s": "3600"}
    async with (
        rig(Script(slots=16), clock=clock, monotonic=lambda: now, **{**settings, **values}) as at,
        asyncio.timeout(PATIENCE_S),
    ):
        yield at


async def paused(at: Rig, times: int) -> None:
    """All messages so far were handled: their pauses are these."""
    await at.until_metric(f"gateway_refusal_pauses_total {times:.1f}\n")


@pytest.mark.parametrize("flood", DOORS)
async def test_a_flood_of_refused_messages_is_slowed_and_a_mistake_makes_nobody_wait(flood: Flood) -> None:
    async with served() as at:
        for _ in range(5):
            await flood(at, MISTAKES)
        await paused(at, 0)
        await flood(at, REFUSED_BURST + MISTAKES)
        await paused(at, MISTAKES)
        for _ in range(5):  # others of the same owner
            await flood(at, MISTAKES)
        await paused(at, MISTAKES)
        await flood(at, MISTAKES + 2)  # a new socket is no new burst
        await paused(at, MISTAKES + 2)


@pytest.mark.parametrize("flood", [deepgram, wyoming])
async def test_a_jump_of_the_system_clock_ends_no_pause(flood: Flood) -> None:
    jump_s = 0.0
    async with served(clock=lambda: time.time() + jump_s) as at:
        await flood(at, REFUSED_BURST + MISTAKES)
        await paused(at, MISTAKES)
        jump_s = 3600.0
        await flood(at, MISTAKES + 2)
        await paused(at, MISTAKES + 2)
        jump_s = -3600.0
        await flood(at, MISTAKES + 2)
        await paused(at, MISTAKES + 4)


@pytest.mark.parametrize("frame", ["ping", "pong"])
async def test_a_flood_of_small_frames_is_read_slowly(frame: str) -> None:
    url = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
    async with served() as at:
        async with at.http.ws_connect(at.url(url), headers={"Authorization": f"Token {KEY}"}) as socket:
            send = {"ping": socket.ping, "pong": socket.pong}[frame]
            for _ in range(FRAMES_BURST + 50):
                await send(b"xx")
            await socket.send_json({"type": "KeepAlive"})
            await at.until_metric("gateway_frame_pauses_total 0.0\n")
            for _ in range(50):
                await send(b"xx")
            await socket.send_json({"type": "CloseStream"})
            kinds = [json.loads(message.data)["type"] async for message in socket]
        assert kinds[-1] == "Metadata"
        await at.until_metric("gateway_frame_pauses_total 3.0\n")


async def test_a_key_shares_its_pace_among_all_doors() -> None:
    async with served() as at:
        for flood in (deepgram, realtime, telephony, twilio):
            await flood(at, MISTAKES + REFUSED_BURST // 4)
        await paused(at, 0)
        client = await at.connect(key=KEY)
        for _ in range(MISTAKES + 1):
            await client.socket.send(NONSENSE)
            await client.get("error", code="bad_json")
        await client.socket.close()
        await paused(at, 1)


async def test_the_start_of_a_call_brings_no_new_mistakes() -> None:
    start = {"streamSid": "MZ1", "tracks": ["inbound"], "customParameters": {"token": KEY}}
    async with served() as at:
        await twilio(at, REFUSED_BURST + MISTAKES)
        async with at.http.ws_connect(at.url("/v1/twilio")) as socket:
            for _ in range(MISTAKES):
                await socket.send_str(NONSENSE)
            await socket.send_json({"event": "start", "sequenceNumber": "1", "start": start})
            await socket.send_str(NONSENSE)
            await paused(at, MISTAKES + 1)


async def test_connections_that_end_with_an_error_are_answered_later_after_many() -> None:
    """At Wyoming's door, where a refusal ends the connection, each counts for the client's address."""

    async def end_with(line: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", at.gateway.wyoming_port)
        writer.write(line)
        assert json.loads(await reader.readline())["type"] == "error"
        writer.close()
        await writer.wait_closed()

    wrong = wyoming_event("audio-start", {**SOUND, "width": 9})
    async with served() as at:
        for number in range(REFUSED_BURST):
            await end_with(wrong if number % 2 else b"nonsense\n")
        await paused(at, 0)
        for number in range(3):
            await end_with(wrong if number % 2 else b"nonsense\n")
        await paused(at, 3)
        await end_with(b"nonsense\n")  # an honest client's first mistake cannot be told from these: docs/security.md
        await paused(at, 4)
        await wyoming(at, MISTAKES)  # who ignores no error is not slowed by those who do
        await paused(at, 4)
