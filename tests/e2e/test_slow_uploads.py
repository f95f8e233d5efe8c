"""Uploads that trickle, with sockets that send a byte now and then."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.gateway_rig import KEY, rig
from tests.fakes.raw_websocket import RawWebSocket
from tests.fakes.worker_server import Script

PAUSE_S = 0.6
_FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + bytes(70_000)
)
_OPTIONS = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n'


@pytest.mark.parametrize(
    ("path", "begins"),
    [
        ("/v1/listen?encoding=mulaw", b""),
        ("/v1/audio/transcriptions", _FORM),
        ("/v1/audio/transcriptions", _OPTIONS),
    ],
    ids=["Deepgram", "OpenAI, the file", "OpenAI, an option"],
)
async def test_an_upload_that_trickles_loses_its_slot(path: str, begins: bytes) -> None:
    """Each pause is a twelfth of the longest one that the gateway allows, and still the upload ends."""
    async with rig(Script(slots=2), doors="all", http_request_s=str(PAUSE_S)) as at:
        raw = await RawWebSocket.connect(at.gateway.http_port)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 1000000\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        await raw.send(head.encode() + begins)
        if begins != _OPTIONS:
            await raw.send(bytes(100))
            await at.until_metric('gateway_streams{service="stt"} 1.0')
        answer = asyncio.create_task(raw.line())
        while not answer.done():
            await raw.send(b"\x00")
            await asyncio.wait([answer], timeout=PAUSE_S / 12)
        assert answer.result().split(" ")[1] == "408"
        assert b"did not arrive in time" in await raw.text()
        if begins != _OPTIONS:
            await at.until_metric('gateway_streams{service="stt"} 0.0')
        await at.until_metric("gateway_sessions 0.0")
