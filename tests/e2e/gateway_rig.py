"""A gateway on loopback with scripted workers, and a client of it; for the tests in this folder."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.harness.schema_check import checked
from gateway.config import GatewayConfig
from gateway.server import Gateway, running
from settings.declaration import from_values
from tests.fakes.raw_websocket import RawWebSocket
from tests.fakes.worker_server import Script, WorkerServer

KEY = "an-api-key-of-the-rig"
PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"
PATIENCE_S = 20.0


def settings(workers: list[WorkerServer], **values: str) -> GatewayConfig:
    """A gateway's settings for a test: any port, nothing on disk."""
    defaults = {
        "http_port": "0",
        "ws_port": "0",
        "api_keys": KEY,
        "store": "memory://",
        "stt_workers": ",".join(worker.target for worker in workers),
    }
    return from_values(GatewayConfig, {**defaults, **values})


@dataclass
class Rig:
    """The gateway, its worker and an HTTP client, for a test."""

    gateway: Gateway
    worker: WorkerServer
    http: aiohttp.ClientSession

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.gateway.ws_port}/ws"

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.gateway.http_port}{path}"

    async def request(
        self, method: str, path: str, *, credential: str | None = KEY, **options: Any
    ) -> tuple[int, Any, aiohttp.typedefs.LooseHeaders]:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        async with self.http.request(method, self.url(path), headers=headers, **options) as response:
            body = await response.text()
            if response.content_type == "application/json":
                return response.status, json.loads(body), response.headers
            return response.status, body, response.headers

    async def mint(self) -> dict[str, Any]:
        status, body, _ = await self.request("POST", "/v1/sessions")
        assert status == 201
        return body

    async def connect(self, **options: Any) -> Client:
        return await Client.open(self.ws_url, **options)

    async def until_metric(self, line: str) -> None:
        """Read the metrics until a line is among them."""

        async def look() -> Any:
            return (await self.request("GET", "/metrics"))[1]

        await eventually(look, lambda text: line in text)

    async def until_counted(self, prefix: str) -> None:
        """Read the metrics until one whose line begins like this is above zero."""

        async def look() -> Any:
            lines = (await self.request("GET", "/metrics"))[1].splitlines()
            return [line for line in lines if line.startswith(prefix) and float(line.split()[-1]) > 0]

        await eventually(look, bool)

    async def transcript(self, session_id: str, until: Callable[[Any], bool]) -> Any:
        """Read a transcript until it is as expected."""

        async def look() -> Any:
            _, body, _ = await self.request("GET", f"/v1/sessions/{session_id}/transcript")
            return body

        return await eventually(look, until)


async def eventually(look: Callable[[], Awaitable[Any]], until: Callable[[Any], bool]) -> Any:
    """Poll until the value is as expected."""
    async with asyncio.timeout(PATIENCE_S):
        while not until(seen := await look()):
            await asyncio.sleep(0.01)
    return seen


class Client:
    """A WebSocket client that remembers what it received."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.seen: list[dict[str, Any]] = []

    @classmethod
    async def open(cls, url: str, *, key: str | None = None, **options: Any) -> Client:
        if key is not None:
            options["additional_headers"] = {"Authorization": f"Bearer {key}"}
        return cls(await connect(url, compression=None, proxy=None, max_size=None, **options))

    async def send(self, kind: str, **data: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, "timestamp": 1739592334, "data": data}))

    async def start(self, stream_id: str = "abc", **more: Any) -> dict[str, Any]:
        await self.send("stream_start", stream_id=stream_id, format=PCM, **more)
        return await self.get("acknowledge")

    async def get(self, kind: str, **expected: Any) -> dict[str, Any]:
        """The next message of a type (and with these data); earlier ones go to `seen`."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                message = checked(json.loads(await self.socket.recv()))
                self.seen.append(message)
                data = message["data"]
                if message["type"] == kind and all(data.get(name) == value for name, value in expected.items()):
                    return message

    async def closed(self) -> int:
        """Read to the end; the close code."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    self.seen.append(checked(json.loads(await self.socket.recv())))
            except ConnectionClosed:
                await self.socket.wait_closed()
        assert self.socket.close_code is not None
        return self.socket.close_code

    async def finals(self, count: int) -> list[str]:
        """The texts of the next finals."""
        texts = []
        while len(texts) < count:
            texts.append((await self.get("transcript_update", is_final=True))["text"])
        return texts


@asynccontextmanager
async def rig(
    script: Script | None = None,
    *,
    more_workers: list[WorkerServer] | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
    **values: str,
) -> AsyncIterator[Rig]:
    """A gateway with its own worker (and others), ready to use."""
    worker = await WorkerServer(script).start()
    try:
        async with (
            running(settings([worker, *(more_workers or [])], **values), clock=clock, monotonic=monotonic) as gateway,
            aiohttp.ClientSession() as http,
        ):
            found = Rig(gateway, worker, http)

            async def ready() -> int:
                return (await found.request("GET", "/readyz"))[0]

            await eventually(ready, lambda status: status == 200)
            try:
                yield found
            finally:
                RawWebSocket.abort_all()
    finally:
        await worker.kill()
