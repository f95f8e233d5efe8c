"""HTTP through the proxy that the environment names, except to this machine."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from talkup_client.errors import ConnectionLostError, SettingError
from talkup_client.http_api import HttpApi
from talkup_client.transport import open_transport


@asynccontextmanager
async def proxy(answer: str, seen: list[str]) -> AsyncIterator[str]:
    """A server on loopback that answers every request in the same way and notes what came."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {answer}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


async def test_plain_http_goes_to_the_proxy_and_loopback_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    async with proxy("200 OK", seen) as place:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@{place}")
        assert (await HttpApi("http://gateway.example:8080").get("/healthz")).status == 200
        assert seen[0].startswith("GET http://gateway.example:8080/healthz HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in seen[0]
        assert (await HttpApi(f"http://{place}").get("/healthz")).status == 200
        assert seen[1].startswith("GET /healthz HTTP/1.1\r\n")
        assert "Proxy-Authorization" not in seen[1]


async def test_https_tunnels_and_a_proxy_that_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    async with proxy("403 Forbidden", seen) as place:
        monkeypatch.setenv("https_proxy", f"http://{place}")
        with pytest.raises(ConnectionLostError, match=f"through the proxy {place}"):
            await HttpApi("https://gateway.example", credential="secret").get("/healthz")
        assert seen[0].startswith("CONNECT gateway.example:443 HTTP/1")
        assert "secret" not in seen[0]
        with pytest.raises(ConnectionLostError, match=r"gateway\.example: the proxy refuses it"):
            await open_transport("wss://gateway.example/ws", {}, ssl.create_default_context(), timeout_s=10)


async def test_a_proxy_that_cannot_be_used_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5h://127.0.0.1:1080")
    with pytest.raises(SettingError, match="https_proxy"):
        HttpApi("https://gateway.example")
    with pytest.raises(SettingError, match="proxy"):
        await open_transport("wss://gateway.example/ws", {}, ssl.create_default_context(), timeout_s=10)
    monkeypatch.setenv("no_proxy", "gateway.example")
    HttpApi("https://gateway.example")
