"""What clients without a credential can hold at a gateway: little, for a short time, and nobody else's place."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import pytest

from gateway.protocol.errors import CloseCode
from tests.e2e.gateway_rig import KEY, Rig, eventually, rig
from tests.e2e.test_gateway_doors import certificate
from tests.fakes.raw_websocket import BINARY, TEXT, RawWebSocket, frame

AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


async def is_served(at: Rig) -> None:
    client = await at.connect(key=KEY)
    await client.get("session")
    await client.socket.close()


async def test_a_large_message_before_authentication_is_refused_and_after_it_is_not() -> None:
    async with rig() as at:
        stranger = await at.connect()
        await stranger.send("auth", token="x" * 20_000)
        assert await stranger.closed() == 1009
        assert stranger.seen[-1]["data"]["code"] == "payload_too_large"
        raw = await RawWebSocket.open(at.gateway.ws_port)
        await raw.send(frame(TEXT, b"x" * 100_000)[:60_000])
        assert await raw.close_code() == 1009
        late = await at.connect()
        await late.send("auth", token=KEY)
        await late.get("session")
        await late.send("status", padding="x" * 60_000)
        await late.get("status")
        await late.socket.close()


async def test_a_key_holder_may_send_a_large_message_with_its_handshake() -> None:
    async with rig() as at:
        raw = await RawWebSocket.open(at.gateway.ws_port, headers=AUTHORIZED)
        await raw.send_json(type="stream_start", stream_id="a", format="audio/wav")
        await raw.send(frame(BINARY, b"RIFF" + bytes(300_000)))
        assert (await raw.until("acknowledge"))["stream_id"] == "a"
        raw.abort()


async def test_a_jump_of_the_system_clock_gives_a_stranger_no_more_time() -> None:
    jump_s = 0.0
    async with rig(clock=lambda: time.time() + jump_s, auth_timeout_s="0.5") as at:
        stranger = await at.connect()
        await at.until_metric("gateway_connections 1.0\n")
        jump_s = -3600.0
        assert await stranger.closed() == CloseCode.UNAUTHENTICATED


@pytest.mark.parametrize("stage", ["connected", "open"])
async def test_mute_sockets_take_no_place_from_those_who_authenticate(stage: str) -> None:
    async with rig(max_sessions="3", max_unauthenticated="4", auth_timeout_s="600", handshake_s="600") as at:
        token = (await at.mint())["token"]
        first = await at.connect(key=token)
        opened = (await first.get("session"))["data"]
        first.socket.transport.abort()
        await at.until_metric("gateway_connections 0.0")
        connect = RawWebSocket.connect if stage == "connected" else RawWebSocket.open
        mute = [await connect(at.gateway.ws_port) for _ in range(12)]
        await is_served(at)
        by_message = await at.connect()
        await by_message.send("auth", token=KEY)
        await by_message.get("session")
        back = await at.connect(key=token)
        assert (await back.get("session", resumed=True))["data"]["session_id"] == opened["session_id"]
        if stage == "open":
            frames = await mute[0].rest()
            assert frames[0].message["data"]["code"] == "busy"
            assert frames[-1].close_code == 1013
        else:
            # All but the places of those who wait; the kernel decides in which order it hands over silent clients.
            ends = [asyncio.create_task(socket.at_eof()) for socket in mute]
            await eventually(lambda: asyncio.sleep(0, sum(end.done() for end in ends)), lambda count: count >= 8)
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        await at.until_counted('gateway_connections_refused_total{port="websocket",reason="')
        for socket in mute:
            socket.abort()
        for client in (by_message, back):
            await client.socket.close()


async def test_one_address_cannot_hold_the_places_of_another() -> None:
    async with rig(max_unauthenticated="50", max_unauthenticated_per_address="3", auth_timeout_s="600") as at:
        other = await RawWebSocket.open(at.gateway.ws_port, source="127.0.0.2")
        mute = [await RawWebSocket.open(at.gateway.ws_port) for _ in range(9)]
        await at.until_metric('gateway_connections_refused_total{port="websocket",reason="address"} 6.0')
        await other.send_json(type="auth", token=KEY)
        await other.until("session")
        for socket in (other, *mute):
            socket.abort()


@pytest.mark.parametrize("is_tls", [False, True])
async def test_a_handshake_that_has_to_make_room_is_counted_once(tmp_path: Path, is_tls: bool) -> None:
    cert, key = certificate(tmp_path)
    tls = ssl.create_default_context(cafile=str(cert)) if is_tls else None
    bounds = {"max_unauthenticated": "50", "max_unauthenticated_per_address": "3", "handshake_s": "600"}
    async with rig(tls_cert=str(cert), tls_key=str(key), wss_port="0", **bounds) as at:
        port = at.gateway.wss_port if is_tls else at.gateway.ws_port
        mute = [await RawWebSocket.connect(port, tls=tls) for _ in range(9)]
        for socket in mute:
            await socket.send(b"GET /ws HTTP/1.1\r\n")
        evicted = [asyncio.create_task(socket.at_eof()) for socket in mute]
        await eventually(lambda: asyncio.sleep(0, sum(end.done() for end in evicted)), lambda count: count == 6)
        left = 'gateway_connections_refused_total{port="websocket",reason='
        await at.until_metric(f'{left}"address"}} 6.0')
        await at.until_metric(f'{left}"no_request"}} 0.0')
        for end in evicted:
            end.cancel()
        await asyncio.gather(*evicted, return_exceptions=True)
        for socket in mute:
            socket.abort()
        await at.until_metric(f'{left}"no_request"}} 3.0')  # those that left by themselves
        await at.until_metric(f'{left}"address"}} 6.0')


async def test_a_socket_that_never_shakes_hands_is_closed() -> None:
    async with rig(handshake_s="0.2") as at:
        raw = await RawWebSocket.connect(at.gateway.ws_port)
        await raw.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n")
        assert await raw.at_eof()


@pytest.mark.parametrize("part", ["nothing", "half a header", "half a body"])
async def test_a_request_that_does_not_arrive_ends(part: str) -> None:
    async with rig(http_request_s="0.3") as at:
        raw = await RawWebSocket.connect(at.gateway.http_port)
        head = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY.encode()
        if part != "nothing":
            await raw.send(head)
        if part == "half a body":
            await raw.send(b"\r\nContent-Length: 100\r\n\r\nhalf")
        assert await raw.at_eof()
        assert (await at.request("GET", "/healthz"))[0] == 200


async def test_idle_http_connections_give_way_to_new_ones() -> None:
    async with rig(max_http_connections="8", max_http_per_address="5", http_request_s="600") as at:
        half = [await RawWebSocket.connect(at.gateway.http_port) for _ in range(30)]
        for socket in half:
            await socket.send(b"GET / HTTP/1.1\r\n")
        status, text, _ = await at.request("GET", "/metrics")
        assert status == 200
        assert 'gateway_connections_refused_total{port="http",reason="address"}' in text
        for socket in half:
            socket.abort()
