"""Telephone calls at a running gateway: Twilio's conversations, sockets of raw samples, and what they are refused."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from bench.harness import hostile
from gateway.doors.telephony.twilio_door import MAX_MESSAGE_BYTES
from tests.e2e.gateway_rig import KEY, PATIENCE_S, Rig, eventually, rig
from tests.fakes.worker_server import Script

FRAME = 160
BEARER = {"Authorization": f"Bearer {KEY}"}


class Call:
    """A call as Twilio sends it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, sid: str) -> None:
        self.socket = socket
        self.sid = sid
        self._number = 1

    async def send(self, event: str, number: int | None = None, **more: Any) -> None:
        await self.socket.send_json({"event": event, "sequenceNumber": str(number), "streamSid": self.sid, **more})

    async def begin(self, token: str | None, tracks: Sequence[str] = ("inbound", "outbound"), **more: str) -> None:
        parameters = {**more, **({} if token is None else {"token": token})}
        described = {
            "streamSid": self.sid,
            "callSid": "CA1",
            "tracks": list(tracks),
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        await self.send("start", 1, start=described)

    async def media(self, payload: bytes, track: str = "inbound", number: int | None = None) -> None:
        if number is None:
            self._number += 1
            number = self._number
        part = {"track": track, "chunk": "1", "timestamp": "1", "payload": base64.b64encode(payload).decode()}
        await self.send("media", number, media=part)

    async def stop(self) -> None:
        await self.send("stop", self._number + 1, stop={"callSid": "CA1"})

    async def closed(self) -> int | None:
        """Read to the end; nothing may come before it."""
        async with asyncio.timeout(PATIENCE_S):
            async for message in self.socket:
                pytest.fail(f"Twilio was sent {message.data!r}")
        return self.socket.close_code


@asynccontextmanager
async def calling(at: Rig, path: str = "/v1/twilio", sid: str = "MZ1", **options: Any) -> AsyncIterator[Call]:
    async with at.http.ws_connect(at.url(path), **options) as socket:
        call = Call(socket, sid)
        await socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        yield call


def heard(at: Rig, stream_id: str) -> bytes:
    """What the worker received of a stream."""
    return b"".join(
        request.chunk.payload
        for seen in at.worker.seen
        if seen.start.stream_id == stream_id
        for request in seen.requests
        if request.HasField("chunk")
    )


def frames(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(FRAME) for _ in range(count)]


async def test_both_speakers_of_a_call_are_heard() -> None:
    """Marks and keys in between, and the first media before `start`."""
    caller, agent = frames(1, 30), frames(2, 30)
    async with rig() as at, calling(at) as call:
        minted = await at.mint()
        await call.media(caller[0], number=2)
        await call.media(agent[0], "outbound", number=3)
        await call.begin(minted["token"], FirstName="Jane")
        number = 3
        for one, other in zip(caller[1:], agent[1:], strict=True):
            await call.media(other, "outbound", number=number + 2)
            await call.media(one, number=number + 1)
            await call.send("mark", number + 3, mark={"name": "m"})
            number += 3
        call._number = number
        await call.stop()
        assert await call.closed() == 1000
        assert heard(at, "inbound-MZ1") == b"".join(caller)
        assert heard(at, "outbound-MZ1") == b"".join(agent)
        found = await at.transcript(minted["session_id"], lambda body: len(body["text"].split()) == 60)
        assert {stream["stream_id"] for stream in found["streams"]} == {"inbound-MZ1", "outbound-MZ1"}


async def test_twenty_calls_at_full_speed_are_not_limited() -> None:
    """Faster than 50 frames a second and track: nothing of media counts against a rate."""

    async def talk(at: Rig, number: int) -> None:
        async with calling(at, sid=f"MZ{number}") as call:
            await call.begin(KEY)
            for frame in frames(number, 100):
                await call.media(frame)
                await call.media(frame, "outbound")
            await call.stop()
            assert await call.closed() == 1000

    async with rig(Script(slots=40, commit_every=10)) as at:
        await asyncio.gather(*(talk(at, number) for number in range(20)))
        for number in range(20):
            assert heard(at, f"inbound-MZ{number}") == heard(at, f"outbound-MZ{number}") != b""
        _, metrics, _ = await at.request("GET", "/metrics")
        assert 'gateway_errors_total{code="rate_limited"} 0.0' in metrics


async def test_credentials_of_a_call() -> None:
    async with rig(auth_timeout_s="0.3") as at:
        minted = await at.mint()
        async with calling(at, f"/v1/twilio/{minted['token']}") as call:
            await call.begin(None, ["inbound"])
            await call.stop()
            assert await call.closed() == 1000
        for token in ("wrong", None):
            async with calling(at) as call:
                await call.begin(token)
                assert await call.closed() == 1008
        async with calling(at) as call:  # never sends `start`
            assert await call.closed() == 1008
        async with calling(at) as call:  # sends more than a stranger may
            for number in range(2, 100):
                await call.media(bytes(FRAME), number=number)
            assert await call.closed() == 1008
        await at.until_metric('gateway_auth_failures_total{door="absent"} 2.0')
        for path in ("/v1/twilio/wrong.to.ken", f"/v1/twilio/{KEY}"):
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await at.http.ws_connect(at.url(path))
            assert error.value.status == 401
        await at.until_metric("gateway_sessions 0.0")


async def test_the_close_of_a_call_says_that_the_gateway_is_busy() -> None:
    async with rig(max_sessions="1") as at, calling(at, headers=BEARER) as first:
        await first.begin(None)
        await first.media(bytes(FRAME))
        await eventually(lambda: _heard_bytes(at, "inbound-MZ1"), bool)
        async with calling(at, sid="MZ2") as call:
            await call.begin(KEY)
            assert await call.closed() == 1013


async def _heard_bytes(at: Rig, stream_id: str) -> bytes:
    return heard(at, stream_id)


async def test_a_call_that_breaks_off_leaves_its_text() -> None:
    async with rig(Script(commit_every=100)) as at:
        minted = await at.mint()
        async with calling(at) as call:
            await call.begin(minted["token"], ["inbound"])
            await call.media(bytes(FRAME))
            await eventually(lambda: _heard_bytes(at, "inbound-MZ1"), bool)
            connection = call.socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()
        await at.transcript(minted["session_id"], lambda body: len(body["text"].split()) == 1)


@pytest.mark.parametrize("path", ["/v1/twilio", "/v1/telephony?format=audio/pcmu"])
async def test_hostile_messages_disturb_no_neighbour(path: str) -> None:
    source, sent, codes = hostile.messages(17), 0, set()
    async with rig(Script(slots=64)) as at, calling(at, sid="MZneighbour") as neighbour:
        await neighbour.begin(KEY)
        while sent < 500:  # many are refused, so they are read at 50 a second
            async with calling(at, path, headers=BEARER, sid=f"MZ{sent}") as call:
                await call.begin(None)
                for _ in range(100):
                    message = next(source)
                    sent += 1
                    try:
                        await (call.socket.send_str if isinstance(message, str) else call.socket.send_bytes)(message)
                    except ConnectionError:
                        break
                await call.stop()
                if "twilio" not in path:
                    await call.socket.close()
                codes.add(await call.closed())
        assert codes <= {1000, 1008, 1009}
        await neighbour.media(bytes(FRAME))
        await eventually(lambda: _heard_bytes(at, "inbound-MZneighbour"), bool)


async def test_a_message_that_is_too_large_closes_the_call() -> None:
    async with rig() as at, calling(at) as call:
        await call.begin(KEY)
        await call.media(bytes(MAX_MESSAGE_BYTES))
        assert await call.closed() == 1009


async def test_raw_samples_give_text_while_the_call_lasts() -> None:
    async with rig() as at:
        path = "/v1/telephony?format=audio/l16;rate=8000&events=true&shade=blue"
        async with at.http.ws_connect(at.url(path), headers=BEARER) as socket:
            assert socket._response.headers["talkup-ignored-options"] == "shade"
            session_id = socket._response.headers["talkup-session"]
            await socket.send_bytes(bytes(320))
            async with asyncio.timeout(PATIENCE_S):
                update = json.loads((await socket.receive()).data)
            assert (update["type"], update["data"]["is_final"]) == ("transcript_update", True)
        await at.transcript(session_id, lambda body: body["text"] == update["text"])


async def test_the_first_message_may_name_the_format() -> None:
    async with rig() as at:
        token = (await at.mint())["token"]
        async with at.http.ws_connect(at.url(f"/v1/telephony?token={token}&multichannel=true")) as socket:
            await socket.send_str('{"callSid":"x","mixType":"stereo","sampleRate":8000}')
            await socket.send_bytes(b"LlRr" * 80)
            await eventually(lambda: _streams(at), lambda count: count == 2)
        async with at.http.ws_connect(at.url("/v1/telephony"), headers=BEARER) as socket:
            await socket.send_bytes(bytes(320))
            async with asyncio.timeout(PATIENCE_S):
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            assert socket.close_code == 1008
        with pytest.raises(aiohttp.WSServerHandshakeError) as error:
            await at.http.ws_connect(at.url("/v1/telephony?format=audio/webm"), headers=BEARER)
        assert error.value.status == 400


@pytest.mark.parametrize("path", ["/v1/twilio", "/v1/telephony"])
async def test_a_flood_of_pings_before_the_first_message_ends_the_call(path: str) -> None:
    async with rig(auth_timeout_s="600") as at, at.http.ws_connect(at.url(path), headers=BEARER) as socket:
        for _ in range(400):
            with suppress(ConnectionError):
                await socket.ping()
        async with asyncio.timeout(PATIENCE_S):
            assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        assert socket.close_code == 1008
        await at.until_metric("gateway_sessions 0.0")


async def _streams(at: Rig) -> int:
    return sum(bool(seen.sequences) for seen in at.worker.seen)
