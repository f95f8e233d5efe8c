"""A directory of sessions with a real upstream, worker and store, and sockets without a network."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from talkup.v1 import task_pb2

from gateway.access.key_ring import KeyRing
from gateway.access.shares import Shares
from gateway.access.tokens import Tokens
from gateway.auth import Authenticator
from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.outbox import Closing, Outbox
from gateway.protocol.actions import ResumeSession
from gateway.protocol.limits import Limits
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory
from gateway.sessions.runner import SessionRunner
from gateway.status import StatusSource
from gateway.store.base import Store
from gateway.store.sqlite import SqliteStore
from gateway.upstream.config import UpstreamConfig
from gateway.upstream.pool import Upstream
from tests.fakes.worker_server import Script, WorkerServer

PATIENCE_S = 20.0


class Socket:
    """A peer without a network: the test reads its outbox."""

    def __init__(self) -> None:
        self.outbox = Outbox(1000, 1_000_000)
        self.asked: list[object] = []

    def authenticate(self, token: str) -> None:
        self.asked.append(token)

    def resume(self, request: ResumeSession) -> None:
        self.asked.append(request)

    async def get(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if (entry := self.outbox.next_entry()) is None:
                    await asyncio.sleep(0.005)
                    continue
                assert not isinstance(entry, Closing)
                message: dict[str, Any] = json.loads(entry.payload)
                if message["type"] == kind:
                    return message

    async def filled(self, enough: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not enough(self.outbox.unsent()):
                await asyncio.sleep(0.005)

    def errors(self) -> list[str]:
        """The codes of the waiting errors."""
        return [m.data.code for m in self.outbox.unsent() if type(m).__name__ == "ErrorMessage"]


@asynccontextmanager
async def running_directory(
    store: Store | None = None, script: Script | None = None, **settings: Any
) -> AsyncIterator[SessionDirectory]:
    """A directory on a store (in memory) with one worker; it must be empty after the drain at the end."""
    worker = await WorkerServer(script).start()
    upstream = Upstream(UpstreamConfig({task_pb2.SERVICE_TYPE_STT: (worker.target,)}))
    store = store or SqliteStore(None)
    await store.start()
    await upstream.start()
    context = GatewayContext(
        config=GatewayConfig(**{"max_sessions": 2, "session_grace_s": 60.0, **settings}),
        limits=Limits(),
        upstream=upstream,
        store=store,
        metrics=Metrics(),
        authenticator=Authenticator(KeyRing([], None, time.time), Tokens(["s" * 32], 60.0, time.time), time.time),
        status=StatusSource(upstream, time.time()),
        clock=time.time,
        shares=Shares(lambda: 1, time.monotonic, 30.0),
    )
    directory = SessionDirectory(context)
    yield directory
    await directory.drain(0.0)
    assert len(directory) == 0
    assert directory.unauthenticated == 0
    await upstream.close(0.0)
    await store.close()
    await worker.kill()


def begin(runner: SessionRunner, socket: Socket) -> None:
    runner.attach(socket)
    runner.receive('{"type": "stream_start", "stream_id": "abc", "format": "audio/pcm;rate=16000"}')


def finals(messages: list[Any]) -> list[str]:
    return [m.text for m in messages if type(m).__name__ == "TranscriptUpdate" and m.data.is_final]
