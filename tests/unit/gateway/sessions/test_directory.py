"""The sessions of a gateway: one runner per id, limits, and the effects of other gateways."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path

import pytest
import redis.asyncio

from bench.harness.redis_server import running_redis
from gateway.access.terms import Terms
from gateway.outbox import Closing
from gateway.protocol.states import SessionPhase, StreamPhase
from gateway.sessions.directory import (
    DirectoryFullError,
    QuotaError,
    SessionDeletedError,
    SessionDirectory,
    SessionEndingError,
)
from gateway.store.base import SessionUnknownError, StreamStart
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from tests.fakes.worker_server import Script
from tests.unit.gateway.sessions.rig import PATIENCE_S, Socket, begin, running_directory


async def test_an_idle_session_makes_room_for_a_new_one(directory: SessionDirectory) -> None:
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
        await runner.wait_until_over()
    assert len(directory) == 0


async def test_a_stream_of_which_only_the_beginning_was_stored_may_begin_again(directory: SessionDirectory) -> None:
    """Its gateway died before it confirmed the stream, so that its client sends the same `stream_start` once more."""
    store = directory._context.store
    await asyncio.wrap_future(store.begin_session("s1"))
    await asyncio.wrap_future(store.begin_stream(StreamStart("s1", "key", "abc", started_at=1.0)))
    runner = await directory.open("s1")
    socket = Socket()
    begin(runner, socket)
    assert (await socket.get("acknowledge"))["stream_id"] == "abc"
    assert socket.errors() == []
    kept = await store.transcript("s1")
    assert kept is not None
    assert [stream.stream_id for stream in kept.streams] == ["abc"]


async def test_a_deleted_session_cannot_be_opened(directory: SessionDirectory) -> None:
    runner = await directory.open("s1")
    runner.attach(Socket())
    assert await directory._context.store.delete("s1")
    directory.delete("s1")
    with pytest.raises(SessionDeletedError):
        await directory.open("s1")


async def test_a_client_cannot_return_while_the_last_finals_arrive() -> None:
    """Otherwise two runners of one session would write at once, and the older would close what the newer one holds."""
    gate = asyncio.Event()
    async with running_directory(script=Script(end_gate=gate)) as directory:
        runner = await directory.open("s1")
        socket = Socket()
        begin(runner, socket)
        runner.receive(b"one1")
        runner.detach(socket, is_clean=False)
        runner.end_grace()
        assert runner.phase is SessionPhase.ENDING
        for look in (directory.open, directory.find):
            with pytest.raises(SessionEndingError):
                await look("s1")
        assert len(directory) == 1
        gate.set()
        async with asyncio.timeout(PATIENCE_S):
            await runner.wait_until_over()
        assert await directory.find("s1") is None
        kept = await directory._context.store.claim("s1")
        assert kept is not None
        assert kept.closed
        assert kept.streams[0].ended


class ContestedStore(SqliteStore):
    """A store that another gateway also writes to: no session belongs here. The first answer waits for `gate`."""

    def __init__(self) -> None:
        super().__init__(None)
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()

    async def holds(self, session_id: str) -> bool:
        if not self.asked.is_set():
            self.asked.set()
            await self.gate.wait()
        return False


async def test_a_late_answer_of_the_store_ends_only_the_runner_it_was_about() -> None:
    store = ContestedStore()
    async with running_directory(store) as directory:
        old, fresh = Socket(), Socket()
        (await directory.open("s1")).attach(old)
        slow = asyncio.create_task(directory.find("s1"))
        await store.asked.wait()
        runner = await directory.find("s1")
        assert runner is not None
        runner.attach(fresh)
        assert old.errors() == ["superseded"]
        store.gate.set()
        assert await slow is runner
        assert runner.phase is SessionPhase.OPEN
        assert fresh.outbox.closing is None


class CountingStore(SqliteStore):
    """Counts the writes it receives."""

    writes = 0

    def _write(self, statement: str, row: tuple[object, ...]) -> Future[None]:
        self.writes += 1
        return super()._write(statement, row)


async def test_sockets_without_a_credential_displace_no_session_and_cause_no_write() -> None:
    store = CountingStore(None)
    async with running_directory(store, max_sessions=2) as directory:
        for session_id in ("s1", "s2"):
            socket = Socket()
            runner = await directory.open(session_id)
            runner.attach(socket)
            runner.detach(socket, is_clean=False)
        before = store.writes
        sockets = [Socket() for _ in range(3)]
        waiting = [directory.begin_unauthenticated() for _ in sockets]
        for runner, socket in zip(waiting, sockets, strict=True):
            runner.attach_unauthenticated(socket)
        for runner, socket in zip(waiting, sockets, strict=True):
            runner.detach(socket, is_clean=False)
        assert directory.unauthenticated == 0
        assert store.writes == before
        assert directory.get("s1") is not None
        assert directory.get("s2") is not None


async def test_a_socket_counts_as_a_session_once_it_sends_a_credential(directory: SessionDirectory) -> None:
    runner, socket = directory.begin_unauthenticated(), Socket()
    runner.attach_unauthenticated(socket)
    assert (len(directory), directory.unauthenticated) == (0, 1)
    directory.admit(runner)
    runner.attach(socket)
    assert (len(directory), directory.unauthenticated) == (1, 0)
    assert directory.get(runner.session_id) is runner


async def test_an_owner_at_its_limit_replaces_its_own_idle_session_only() -> None:
    terms = Terms(owner="small", sessions=1)
    async with running_directory(max_sessions=20) as directory:
        other = await directory.open(None, Terms(owner="other"))
        begin(other, socket := Socket())
        other.detach(socket, is_clean=False)
        ids = []
        for _ in range(3):
            runner = await directory.open(None, terms)
            ids.append(runner.session_id)
            runner.attach(peer := Socket())
            with pytest.raises(QuotaError):
                await directory.open(None, terms)
            runner.detach(peer, is_clean=False)
        assert [directory.get(each) is not None for each in ids] == [False, False, True]
        assert directory.get(other.session_id) is other
        for each in (runner, other):
            each.delete()
        assert directory.owners == {}


@pytest.mark.parametrize(
    ("is_deleted", "code", "reason"),
    [(True, "session_expired", "session deleted"), (False, "superseded", "superseded")],
)
async def test_what_happened_to_a_session_at_another_gateway_is_reported(
    tmp_path: Path, is_deleted: bool, code: str, reason: str
) -> None:
    with running_redis(tmp_path) as url:
        other = RedisStore(url, retention_s=50.0, lease_s=1.0)
        await other.start()
        async with running_directory(RedisStore(url, retention_s=50.0, lease_s=1.0)) as directory:
            socket = Socket()
            runner = await directory.open("s1")
            runner.attach(socket)
            await socket.get("session")
            written = directory._context.store.begin_session("s1")
            await asyncio.wrap_future(written)
            await (other.delete("s1") if is_deleted else other.claim("s1"))
            async with asyncio.timeout(PATIENCE_S):
                while socket.outbox.closing is None:
                    await asyncio.sleep(0.005)
            assert socket.outbox.closing == Closing(1000, reason)
            assert socket.errors() == [code]
            assert directory.get("s1") is None
        await other.close()


async def test_a_stream_that_ended_does_not_run_again_after_redis_lost_its_data(tmp_path: Path) -> None:
    """Another gateway continues the open stream of the session and leaves the ended one ended."""
    with running_redis(tmp_path) as url:
        async with running_directory(RedisStore(url, retention_s=50.0, lease_s=600.0)) as directory:
            store, socket = directory._context.store, Socket()
            runner = await directory.open("s1")
            begin(runner, socket)
            runner.receive(b"one1")
            runner.receive('{"type": "stream_end", "stream_id": "abc"}')
            await socket.get("stream_ended")
            runner.receive('{"type": "stream_start", "stream_id": "def", "format": "audio/pcm;rate=16000"}')
            await asyncio.wrap_future(store.begin_session("s1"))
            async with redis.asyncio.Redis.from_url(url) as client:
                await client.flushall()
            with pytest.raises(SessionUnknownError):
                await asyncio.wrap_future(store.begin_session("s1"))
            await asyncio.wrap_future(store.begin_session("s1"))
            value = directory._context.metrics.registry.get_sample_value
            assert value("gateway_store_sessions_forgotten_total") == 1
            assert value("gateway_store_finals_forgotten_total") == 1
            async with running_directory(RedisStore(url, retention_s=50.0, lease_s=600.0)) as elsewhere:
                restored = await elsewhere.find("s1")
                assert restored is not None
                phases = {name: stream.phase for name, stream in restored.session.streams.items()}
                assert phases == {"abc": StreamPhase.ENDED, "def": StreamPhase.OPEN}
