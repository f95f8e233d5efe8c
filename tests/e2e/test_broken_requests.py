"""Requests whose body breaks off or is malformed, at every door that reads one: no failure of the gateway."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from tests.e2e.gateway_rig import KEY, Rig, eventually, rig

FORM = "multipart/form-data; boundary=b"
FILE = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nx\r\n'
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + bytes(70_000)
)
ROWS = [
    ("/v1/listen", "application/octet-stream", bytes(70_000)),
    ("/v1/auth/grant", "application/json", b'{"ttl_'),
    ("/v1/audio/transcriptions", FORM, FILE),
    ("/v1/realtime/client_secrets", "application/json", b'{"sess'),
    ("/v1/sessions", "application/json", b"{"),
]


async def _begin(
    at: Rig, path: str, content_type: str, framing: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", at.gateway.http_port)
    head = (
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {KEY}",
        f"Content-Type: {content_type}",
        framing,
    )
    writer.write("\r\n".join((*head, "", "")).encode())
    return reader, writer


@pytest.mark.parametrize(("path", "content_type", "body"), ROWS)
async def test_a_client_that_leaves_during_its_request_is_no_failure(path: str, content_type: str, body: bytes) -> None:
    async with rig() as at:
        before = await _connections()
        with capture_logs() as lines:
            _, writer = await _begin(at, path, content_type, "Content-Length: 100000")
            writer.write(body)
            await writer.drain()
            await eventually(_connections, lambda count: count == before + 1)
            writer.transport.abort()
            await eventually(_connections, lambda count: count == before)
            await at.until_metric("gateway_sessions 0.0")
        assert [line["event"] for line in lines if line["log_level"] == "error"] == []


async def _connections() -> int:
    """How many HTTP connections the gateway, which runs in this process, serves."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    return sum(getattr(coro, "__qualname__", "") == "RequestHandler.start" for coro in coroutines)


@pytest.mark.parametrize(("path", "content_type", "body"), ROWS)
async def test_a_body_that_is_not_valid_http_is_a_bad_request(path: str, content_type: str, body: bytes) -> None:
    async with rig() as at:
        with capture_logs() as lines:
            reader, writer = await _begin(at, path, content_type, "Transfer-Encoding: chunked")
            writer.write(f"{len(body):x}\r\n".encode() + body + b"\r\nno size\r\n")
            async with asyncio.timeout(10):
                status = int((await reader.readline()).split()[1])
            writer.close()
        assert status == 400
        assert [line["event"] for line in lines if line["log_level"] == "error"] == []


async def test_a_request_for_a_token_may_arrive_in_pieces() -> None:
    async with rig() as at:
        body = b'{"ttl_seconds": 60}'
        reader, writer = await _begin(at, "/v1/auth/grant", "application/json", f"Content-Length: {len(body)}")
        writer.write(body[:9])
        await writer.drain()
        await at.until_metric("gateway_sessions 0.0")  # answered after the first piece has been read
        writer.write(body[9:])
        async with asyncio.timeout(10):
            assert b" 200 " in await reader.readline()
            await reader.readuntil(b"\r\n\r\n")
            granted = json.loads(await reader.read(65536))
        writer.close()
        assert 55 <= granted["expires_in"] <= 60
