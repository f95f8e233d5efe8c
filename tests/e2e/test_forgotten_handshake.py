"""A connection remembers nothing of its handshake: headers may hold credentials, and take memory."""

from __future__ import annotations

import gc

from websockets.datastructures import Headers

from tests.e2e.gateway_rig import KEY, rig
from tests.fakes.raw_websocket import RawWebSocket

MARK = "X-Only-In-This-Handshake"


def headers_with_mark() -> list[Headers]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Headers) and MARK in each]


async def test_headers_are_forgotten_while_the_connection_lives() -> None:
    async with rig() as at:
        socket = await RawWebSocket.open(at.gateway.ws_port, headers={"Authorization": f"Bearer {KEY}", MARK: "1"})
        await socket.until("session")
        assert not headers_with_mark()
