"""Uploads that trickle, with sockets that send a byte now and then."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.gateway_rig import KEY, rig
from tests.fakes.raw_websocket import RawWebSocket
from tests.fakes.worker_server import Script

PAUSE_S = 0.6
OFTEN, SELDOM = PAUSE_S / 12, PAUSE_S * 0.9
_MODEL = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
_FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
_PLAIN = "Content-Length: 1000000"
_CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("spacing_s", [OFTEN, SELDOM], ids=["twelve bytes a pause", "a byte for nearly every pause"])
@pytest.mark.parametrize(
    ("path", "length", "begins", "is_admitted"),
    [
        ("/v1/listen?encoding=mulaw", _PLAIN, bytes(100), True),
        ("/v1/listen?encoding=mulaw", _PLAIN, b"", True),
        ("/v1/listen?encoding=mulaw", _CHUNKED, b"64\r\n" + bytes(100) + b"\r\nfffff\r\n", True),
        ("/v1/audio/transcriptions", _PLAIN, _MODEL + b"x\r\n" + _FILE + bytes(70_100), True),
        ("/v1/audio/transcriptions", _PLAIN, _FILE + bytes(70_100), False),
        ("/v1/audio/transcriptions", _PLAIN, _MODEL, False),
        ("/v1/audio/transcriptions", _PLAIN, b"--b\r\nContent-Dis", False),
    ],
    ids=[
        *("Deepgram", "Deepgram, from its first byte on", "Deepgram, in chunks"),
        *("OpenAI, the file", "OpenAI, a file that waits for the model", "OpenAI, an option", "OpenAI, a header"),
    ],
)
async def test_an_upload_that_trickles_loses_its_slot(
    path: str, length: str, begins: bytes, is_admitted: bool, spacing_s: float
) -> None:
    """No pause is as long as the gateway allows, and still the upload ends, before its stream begins and after."""
    async with rig(Script(slots=2), doors="all", http_request_s=str(PAUSE_S)) as at:
        raw = await RawWebSocket.connect(at.gateway.http_port)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n{length}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        await raw.send(head.encode() + begins)
        answer = asyncio.create_task(raw.line())
        if is_admitted:
            await at.until_metric('gateway_streams{service="stt"} 1.0')
        while not answer.done():
            await raw.send(b"\x00")
            await asyncio.wait([answer], timeout=spacing_s)
        assert answer.result().split(" ")[1] == "408"
        assert b"did not arrive in time" in await raw.text()
        if is_admitted:
            await at.until_metric('gateway_streams{service="stt"} 0.0')
        await at.until_metric("gateway_sessions 0.0")
