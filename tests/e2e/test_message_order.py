"""Messages are answered in the order in which they were sent, however they arrive: alone, in bursts, in fragments."""

from __future__ import annotations

import json

from gateway.reader import FAIR_SHARE
from tests.e2e.gateway_rig import KEY, rig
from tests.fakes.raw_websocket import CLOSE, CONTINUATION, TEXT, RawWebSocket, frame

AUTHORIZED = {"Authorization": f"Bearer {KEY}"}


def ping(number: int) -> bytes:
    return json.dumps({"type": "ping", "data": {"n": number}}).encode()


async def numbers(socket: RawWebSocket, count: int) -> list[int]:
    return [(await socket.until("pong"))["data"]["n"] for _ in range(count)]


async def test_a_burst_is_answered_in_order() -> None:
    """Some are handled at once, the others when they have their turn; one of these comes in fragments."""
    burst = [frame(TEXT, ping(number)) for number in range(6 * FAIR_SHARE)]
    whole = ping(3 * FAIR_SHARE)
    burst[3 * FAIR_SHARE] = frame(TEXT, whole[:9], fin=False) + frame(CONTINUATION, whole[9:])
    async with rig() as at:
        socket = await RawWebSocket.open(at.gateway.ws_port, headers=AUTHORIZED)
        await socket.until("session")
        await socket.send(b"".join(burst))
        assert await numbers(socket, len(burst)) == list(range(len(burst)))


async def test_a_message_right_behind_the_last_fragment_of_another_comes_second() -> None:
    async with rig() as at:
        socket = await RawWebSocket.open(at.gateway.ws_port, headers=AUTHORIZED)
        await socket.until("session")
        first = ping(0)
        await socket.send(frame(TEXT, first[:9], fin=False))
        await socket.send(frame(CONTINUATION, first[9:]) + frame(TEXT, ping(1)))
        assert await numbers(socket, 2) == [0, 1]


async def test_what_comes_before_the_credential_is_checked_waits_for_that() -> None:
    async with rig() as at:
        socket = await RawWebSocket.open(at.gateway.ws_port)
        auth = json.dumps({"type": "auth", "token": KEY}).encode()
        await socket.send(frame(TEXT, auth) + b"".join(frame(TEXT, ping(number)) for number in range(3)))
        assert await numbers(socket, 3) == [0, 1, 2]


async def test_what_comes_before_text_that_is_not_utf_8_is_answered() -> None:
    async with rig() as at:
        socket = await RawWebSocket.open(at.gateway.ws_port, headers=AUTHORIZED)
        await socket.until("session")
        await socket.send(frame(TEXT, ping(0)) + frame(TEXT, b"\xff"))
        assert await numbers(socket, 1) == [0]
        closed = await socket.read()
        assert closed is not None
        assert (closed.opcode, closed.close_code) == (CLOSE, 1007)
