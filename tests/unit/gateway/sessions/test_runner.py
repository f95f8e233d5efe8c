"""A session at work, with real upstream and store: what its client gets over more than one socket."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from talkup.v1 import task_pb2

from gateway.auth import Authenticator
from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.outbox import Closing, Outbox
from gateway.protocol.actions import ResumeSession
from gateway.protocol.limits import Limits
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import DirectoryFullError, SessionDeletedError, SessionDirectory
from gateway.sessions.runner import SessionRunner
from gateway.status import StatusSource
from gateway.store.sqlite import SqliteStore
from gateway.upstream.config import UpstreamConfig
from gateway.upstream.pool import Upstream
from tests.fakes.worker_server import WorkerServer

PATIENCE_S = 20.0


class Socket:
    """A peer without a wire: its outbox is read by the test."""

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
                entry = await self.outbox.take()
                assert not isinstance(entry, Closing)
                message: dict[str, Any] = json.loads(entry.payload)
                if message["type"] == kind:
                    return message

    async def filled(self, enough: Callable[[list[Any]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not enough(self.outbox.unsent()):
                await asyncio.sleep(0.005)


@pytest.fixture
async def directory() -> AsyncIterator[SessionDirectory]:
    worker = await WorkerServer().start()
    upstream = Upstream(UpstreamConfig({task_pb2.SERVICE_TYPE_STT: (worker.target,)}))
    store = SqliteStore(None)
    await store.start()
    await upstream.start()
    config = GatewayConfig(max_sessions=2, session_grace_s=60.0)
    context = GatewayContext(
        config=config,
        limits=Limits(),
        upstream=upstream,
        store=store,
        metrics=Metrics(),
        authenticator=Authenticator([], "", 60.0, time.time),
        status=StatusSource(upstream, time.time()),
        clock=time.time,
    )
    found = SessionDirectory(context)
    yield found
    await found.drain(0.0)
    assert len(found) == 0
    await upstream.close(0.0)
    await store.close()
    await worker.kill()


def begin(runner: SessionRunner, socket: Socket) -> None:
    runner.attach(socket)
    runner.receive('{"type": "stream_start", "stream_id": "abc", "format": "audio/pcm;rate=16000"}')


def finals(messages: list[Any]) -> list[str]:
    return [m.text for m in messages if type(m).__name__ == "TranscriptUpdate" and m.data.is_final]


async def test_finals_that_a_lost_socket_did_not_send_come_first_on_the_next(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    first, second = Socket(), Socket()
    begin(runner, first)
    runner.receive(b"one1")
    await first.filled(lambda messages: len(finals(messages)) == 1)
    runner.detach(first, is_clean=False)
    runner.attach(second)
    runner.receive(b"two2")
    assert (await second.get("session"))["data"]["resumed"]
    texts = [(await second.get("transcript_update"))["text"] for _ in range(2)]
    assert texts[0] == finals(first.outbox.unsent())[0]
    assert [text[:2] for text in texts] == ["w0", "w1"]


async def test_a_client_that_names_its_last_final_gets_each_later_one_once(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    first, second = Socket(), Socket()
    begin(runner, first)
    for chunk in (b"one1", b"two2"):
        runner.receive(chunk)
    await first.filled(lambda messages: len(finals(messages)) == 2)
    runner.detach(first, is_clean=False)
    runner.attach(second, {"abc": 1})
    runner.receive('{"type": "stream_end", "stream_id": "abc"}')
    await second.filled(lambda messages: any(type(m).__name__ == "StreamEnded" for m in messages))
    assert [text[:2] for text in finals(second.outbox.unsent())] == ["w1"]


async def test_an_old_socket_has_no_say_after_being_superseded(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    first, second = Socket(), Socket()
    begin(runner, first)
    runner.attach(second)
    assert first.outbox.closing == Closing(1000, "superseded")
    runner.detach(first, is_clean=True)
    assert runner.peer is second
    assert next(iter(runner.session.streams.values())).is_open
    assert not any(type(message).__name__ == "ErrorMessage" for message in second.outbox.unsent())


async def test_a_session_that_only_waits_makes_room_for_a_new_one(directory: SessionDirectory) -> None:
    waiting, busy = await directory.open("s1"), await directory.open("s2")
    socket = Socket()
    waiting.attach(Socket())
    begin(busy, socket)
    with pytest.raises(DirectoryFullError):
        await directory.open("s3")
    assert waiting.peer is not None
    waiting.detach(waiting.peer, is_clean=False)
    busy.detach(socket, is_clean=False)
    assert (await directory.open("s3")).session_id == "s3"
    assert directory.get("s1") is None
    assert directory.get("s2") is busy


async def test_expiry_ends_streams_and_then_the_session(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    socket = Socket()
    begin(runner, socket)
    runner.detach(socket, is_clean=False)
    runner.end_grace()
    assert directory.get("s1") is None
    async with asyncio.timeout(PATIENCE_S):
        await runner.wait_over()
    assert len(directory) == 0


async def test_a_deleted_session_cannot_be_opened(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    runner.attach(Socket())
    assert await directory._context.store.delete("s1")
    directory.delete("s1")
    with pytest.raises(SessionDeletedError):
        await directory.open("s1")


async def test_credentials_in_messages_go_to_the_socket(directory: SessionDirectory) -> None:
    runner = directory.begin_unauthenticated()
    socket = Socket()
    runner.hold(socket)
    runner.receive('{"type": "auth", "token": "t"}')
    runner.receive('{"type": "session_resume", "session_id": "s", "token": "t"}')
    assert socket.asked[0] == "t"
    assert isinstance(socket.asked[1], ResumeSession)
    assert directory.get(runner.session_id) is None
