"""The pool: its snapshot and readiness, and what a change of endpoints or certificates does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from talkup.v1 import task_pb2

from gateway.upstream.causes import Cause
from gateway.upstream.channel import PlaintextError
from gateway.upstream.config import TlsSettings, UpstreamConfig
from gateway.upstream.pool import ServiceSnapshot, Upstream
from tests.fakes.worker_server import Script, WorkerServer
from tests.unit.gateway.upstream.authority import Authority, server_credentials, write_identity
from tests.unit.gateway.upstream.listening import ListeningUpstream, results_of
from tests.unit.gateway.upstream.test_task_stream import (
    FAST,
    STT,
    chunk,
    collect,
    end,
    errors,
    expected,
    kinds,
    run_stream,
    start,
    until,
    until_serving,
    upstream,
    words,
    workers,
)

VISION = task_pb2.SERVICE_TYPE_VISION


async def test_snapshot_and_readiness_follow_the_workers() -> None:
    async with workers(Script(slots=3)) as [worker], upstream(worker.target, "127.0.0.1:1") as pool:
        assert not pool.ready()
        assert replace(pool.snapshot()[STT], troubles=()) == ServiceSnapshot(2, 0, 0, 0, (), (), ())
        await until(pool.ready)
        found = pool.snapshot()[STT]
        assert replace(found, troubles=()) == ServiceSnapshot(2, 1, 3, 3, ("words",), ("en",), ("audio/pcm",))
        await until(lambda: pool.snapshot()[STT].troubles == ((Cause.CONNECTION_REFUSED, 1),))
        await worker.set_serving(False)
        await until(lambda: not pool.ready())


async def test_not_ready_while_one_service_has_no_worker() -> None:
    async with workers(Script()) as [worker]:
        pool = ListeningUpstream(replace(FAST, endpoints={STT: (worker.target,), VISION: ("127.0.0.1:1",)}))
        await pool.start()
        await until_serving(pool, 1)
        assert not pool.ready()
        await pool.close(0)


async def test_nothing_configured_is_not_ready() -> None:
    pool = ListeningUpstream(FAST)
    await pool.start()
    assert not pool.ready()
    assert pool.snapshot() == {}
    await pool.close(0)


async def test_close_lets_streams_finish_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with workers(Script()) as [worker]:
        pool = ListeningUpstream(replace(FAST, endpoints={STT: (worker.target,)}))
        await pool.start()
        finishing, endless = pool.open(STT, start()), pool.open(STT, start())
        for stream in (finishing, endless):
            stream.offer(chunk(0))
        finishing.offer(end())
        closing = asyncio.create_task(pool.close(0.3))
        assert kinds(await collect(finishing))[-1] == "ended"
        assert "ended" not in kinds(await collect(endless))
        await closing
        assert await collect(pool.open(STT, start())) == []
    await until(lambda: asyncio.all_tasks() <= before)


async def test_running_streams_finish_at_their_worker_when_the_name_moves() -> None:
    async with workers(Script(), Script()) as [old, new]:
        answer = [old.target]

        async def resolver(host: str, port: int) -> list[str]:
            return answer

        config = replace(FAST, endpoints={STT: ("dns:///stt:1",)}, probing=replace(FAST.probing, resolve=0.05))
        pool = ListeningUpstream(config, resolver=resolver)
        await pool.start()
        running = pool.open(STT, start())
        running.offer(chunk(0))
        source = results_of(running)
        assert (await anext(source)).attempt == 1
        answer[:] = [new.target]
        await until(lambda: bool(new.described and pool.ready()))
        assert words(await run_stream(pool)) == expected()
        for sequence in range(1, 12):
            running.offer(chunk(sequence))
        running.offer(end())
        assert words([item async for item in source]) == expected()
        assert (len(old.seen), len(new.seen)) == (1, 1)
        await pool.close(0)


async def test_plaintext_leaves_this_machine_only_if_configured() -> None:
    config = replace(FAST, endpoints={STT: ("192.0.2.1:1",)})
    with pytest.raises(PlaintextError):
        await Upstream(config).start()
    pool = ListeningUpstream(replace(config, tls=TlsSettings(insecure=True)))
    await pool.start()
    await pool.close(0)


def test_half_a_client_identity_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        TlsSettings(root_ca=Path("ca"), client_cert=Path("cert"))
    with pytest.raises(ValueError, match="root_ca"):
        TlsSettings(client_cert=Path("cert"), client_key=Path("key"))


def test_an_endpoint_that_cannot_be_parsed_is_refused() -> None:
    with pytest.raises(ValueError, match="not an endpoint"):
        Upstream(replace(FAST, endpoints={STT: ("nonsense",)}))


def test_the_token_stays_out_of_repr() -> None:
    assert "secret" not in repr(UpstreamConfig(endpoints={}, worker_token="secret"))


async def test_mutual_tls(tmp_path: Path) -> None:
    authority = Authority()
    worker = await WorkerServer().start(credentials=server_credentials(authority))
    tls = write_identity(tmp_path, authority)
    async with upstream(f"localhost:{worker.port}", config=replace(FAST, tls=tls)) as pool:
        assert words(await run_stream(pool)) == expected()
    anonymous = replace(FAST, tls=TlsSettings(tls.root_ca), deadlines=replace(FAST.deadlines, admit=0.3))
    async with upstream(f"localhost:{worker.port}", config=anonymous) as pool:
        assert errors(await run_stream(pool))
    await worker.kill()


@pytest.mark.parametrize(("name", "serves"), [("localhost", True), ("stt-worker", False)])
async def test_a_worker_must_show_the_name_of_its_service(tmp_path: Path, name: str, *, serves: bool) -> None:
    """By its host the worker would do: its certificate is for localhost, as any worker's on this machine could be."""
    authority = Authority()
    worker = await WorkerServer().start(credentials=server_credentials(authority))
    tls = write_identity(tmp_path, authority)
    config = replace(FAST, tls=tls, names={STT: name}, deadlines=replace(FAST.deadlines, admit=10.0 if serves else 0.3))
    async with upstream(f"localhost:{worker.port}", config=config) as pool:
        results = await run_stream(pool)
        assert (words(results) == expected()) if serves else errors(results)
    await worker.kill()


async def test_certificates_are_read_again_when_they_change(tmp_path: Path) -> None:
    wrong, right = Authority(), Authority()
    worker = await WorkerServer().start(credentials=server_credentials(right))
    config = replace(FAST, tls=write_identity(tmp_path, wrong), probing=replace(FAST.probing, resolve=0.05))
    async with upstream(f"localhost:{worker.port}", config=config) as pool:
        assert not pool.ready()
        write_identity(tmp_path, right)
        await until(pool.ready)
        assert words(await run_stream(pool)) == expected()
    await worker.kill()


def changes(lines: Sequence[Mapping[str, object]]) -> list[str]:
    """The events about the availability of workers."""
    return [str(line["event"]) for line in lines if str(line["event"]) in {"worker serving", "worker not serving"}]


async def test_every_change_of_a_workers_availability_is_logged_once() -> None:
    """By its health or by its answers to probes: a worker that hangs still reports that it serves."""
    with structlog.testing.capture_logs() as lines:
        async with workers(Script()) as [worker], upstream(worker.target) as pool:
            await until_serving(pool, 1)
            worker.hung.set()
            await until_serving(pool, 0)
            worker.hung.clear()
            await until_serving(pool, 1)
            await worker.set_serving(False)
            await until_serving(pool, 0)
            await until(lambda: len(changes(lines)) >= 4)
    assert changes(lines) == ["worker serving", "worker not serving"] * 2
