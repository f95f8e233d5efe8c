"""`python -m gateway` as a process: how it starts, refuses, drains, and what survives its death."""

import asyncio
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.store.sqlite import SqliteStore
from tests.e2e.gateway_rig import KEY, Client
from tests.fakes.worker_server import WorkerServer

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def process(*flags: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "generated")])
    env = {"PYTHONPATH": paths, "PATH": os.environ["PATH"], **environment}
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *flags, env=env, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def ports(started: asyncio.subprocess.Process) -> dict[str, int]:
    """Read the log up to the line that names the ports."""
    assert started.stderr is not None
    async with asyncio.timeout(30):
        while line := await started.stderr.readline():
            event = json.loads(line)
            if event["event"] == "gateway listening":
                return event
    raise AssertionError("the gateway did not come up")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends(number: signal.Signals) -> None:
    worker = await WorkerServer().start()
    flags = ["--http-port", "0", "--ws-port", "0", "--store", "memory://", "--stt-workers", worker.target]
    async with process(*flags, GATEWAY_API_KEYS=KEY) as started:
        found = await ports(started)
        client = await Client.open(f"ws://127.0.0.1:{found['ws_port']}/ws", key=KEY)
        await client.start()
        await client.socket.send(b"one1")
        texts = await client.finals(1)
        started.send_signal(number)
        assert await client.closed() == 1012
        async with asyncio.timeout(10):
            assert await started.wait() == 0
        assert started.stderr is not None
        logged = (await started.stderr.read()).decode()
        events = {event["event"]: event for event in map(json.loads, logged.splitlines())}
        assert events["stream opened"]["service"] == "stt"
        assert (events["stream ended"]["chunks"], events["stream ended"]["segments"]) == (1, 1)
        assert texts[0] not in logged
        assert KEY not in logged
    await worker.kill()


async def test_finals_survive_a_kill(tmp_path: Path) -> None:
    worker = await WorkerServer().start()
    path = tmp_path / "kept.db"
    flags = ["--http-port", "0", "--ws-port", "0", "--store", f"sqlite:///{path}", "--stt-workers", worker.target]
    async with process(*flags) as started:
        found = await ports(started)
        client = await Client.open(f"ws://127.0.0.1:{found['ws_port']}/ws")
        session_id = (await client.get("session"))["data"]["session_id"]
        await client.start()
        await client.socket.send(b"one1")
        texts = await client.finals(1)
        started.kill()
        await client.closed()
    await worker.kill()
    store = SqliteStore(path)
    await store.start()
    kept = await store.transcript(session_id)
    await store.close()
    assert kept is not None
    assert [segment.text for stream in kept.streams for segment in stream.segments] == texts


async def test_the_limit_of_open_files_does_not_bound_the_connections() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, soft), hard))
    try:
        async with process("--http-port", "0", "--ws-port", "0", "--store", "memory://") as started:
            await ports(started)
            raised, _ = resource.prlimit(started.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised == (65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard))


async def test_a_port_in_use_is_one_line_and_status_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with process("--http-port", str(port), "--ws-port", "0", "--store", "memory://") as started:
            _, err = await started.communicate()
            assert started.returncode == 1
            assert str(port) in err.decode().splitlines()[-1]
            assert b"Traceback" not in err


async def test_a_bad_setting_is_one_line_and_status_two() -> None:
    async with process(GATEWAY_HTTP_HOST="0.0.0.0") as started:
        _, err = await started.communicate()
        assert started.returncode == 2
        assert err.decode().count("\n") == 1
        assert "GATEWAY_API_KEYS" in err.decode()
