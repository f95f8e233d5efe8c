"""Variables that name a proxy are for other machines: nothing on loopback goes through it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.upstream.channel import EndpointAddress, WorkerChannel
from gateway.upstream.config import TlsSettings
from gateway.upstream.failures import CallFailed
from tests.e2e.gateway_rig import KEY, rig

ROOT = Path(__file__).parents[2]
VARIABLES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")


@asynccontextmanager
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[bytes]]:
    """A proxy that refuses everything and remembers what it was asked."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for name in VARIABLES:
            monkeypatch.setenv(name, url)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield asked


async def status_of(program: str, *arguments: str, **environment: str) -> int:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "generated")])
    env = {"PYTHONPATH": paths, "PATH": os.environ["PATH"], **environment}
    env.update({name: os.environ[name] for name in VARIABLES})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, program, *arguments), cwd=ROOT, env=env, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(30):
        return await process.wait()


async def test_gateway_workers_and_health_checks_do_without_it(
    monkeypatch: pytest.MonkeyPatch, speech_ogg: Path
) -> None:
    async with proxy(monkeypatch) as asked, rig() as at:
        client = await at.connect(key=KEY)
        await client.start()
        await client.socket.send(b"one1")
        assert len(await client.finals(1)) == 1
        await client.socket.close()
        port = at.worker.target.rpartition(":")[2]
        statuses = await asyncio.gather(
            status_of("deploy/docker/gateway_health.py", GATEWAY_HTTP_PORT=str(at.gateway.http_port)),
            status_of("deploy/docker/worker_health.py", WORKER_PORT=port),
            status_of("docs/examples/direct_client.py", str(speech_ogg), "audio/ogg", at.worker.target),
        )
        assert statuses == [0, 0, 0]
        assert asked == []


async def test_workers_on_loopback_are_reached_directly_even_with_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy(monkeypatch) as asked, rig(worker_proxy="true"):
        assert asked == []


async def test_a_worker_elsewhere_is_reached_through_the_proxy_if_that_is_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with proxy(monkeypatch) as asked:
        channel = WorkerChannel(EndpointAddress("192.0.2.1:50051"), TlsSettings(insecure=True), None, use_proxy=True)
        with pytest.raises(CallFailed):
            await channel.describe(5.0)
        await channel.close()
        assert asked[0].startswith(b"CONNECT 192.0.2.1:50051")


async def test_a_worker_elsewhere_is_reached_without_it_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy(monkeypatch) as asked:
        channel = WorkerChannel(EndpointAddress("192.0.2.1:50051"), TlsSettings(insecure=True), None)
        with pytest.raises(CallFailed):
            await channel.describe(0.5)
        await channel.close()
        assert asked == []


async def test_downloads_from_the_hub_use_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with proxy(monkeypatch) as asked:
        arguments = ("models", "small", "--model-cache", str(tmp_path / "cache"))
        assert await status_of("-m", "workers", *arguments, HOME=str(tmp_path)) == 1
        assert asked[0].startswith(b"CONNECT huggingface.co:443")


async def test_health_checks_tell_a_process_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy(monkeypatch):
        assert await status_of("deploy/docker/gateway_health.py", GATEWAY_HTTP_PORT="1") == 1
