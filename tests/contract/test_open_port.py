"""A worker that has no model yet: its port is open, it says NOT_SERVING, and it can be stopped at once."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from talkup.v1 import error_pb2, task_pb2, worker_service_pb2

from tests.contract.test_worker_process import start
from tests.contract.worker_harness import running, transcribe
from workers.deferred_engine import DeferredEngine
from workers.fake.engine import FakeEngine
from workers.models import ModelError

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health_of(channel: grpc.aio.Channel) -> int:
    answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    return int(answer.status)


async def test_the_engine_is_made_behind_an_open_port() -> None:
    downloaded = threading.Event()

    def make() -> FakeEngine:
        assert downloaded.wait(20)
        return FakeEngine()

    engine = DeferredEngine(task_pb2.SERVICE_TYPE_STT, make)
    async with running(engine, load=False) as worker:
        loading = asyncio.create_task(worker.server.load())
        assert await health_of(worker.channel) == NOT_SERVING
        described = await worker.stub.Describe(worker_service_pb2.DescribeRequest())
        assert (described.slots.total, list(described.models)) == (0, [])
        call = worker.call()
        await call.start()
        _, error = await call.refusal()
        assert (error.code, error.retryable) == (error_pb2.ERROR_CODE_NO_WORKER, True)
        assert not loading.done()
        downloaded.set()
        await loading
        assert await health_of(worker.channel) == SERVING
        results = await transcribe(worker.call(), [b"x" * 3200])
        assert results[-1].WhichOneof("result") == "ended"


async def test_what_cannot_be_made_ends_the_start() -> None:
    def make() -> FakeEngine:
        raise ModelError("model toy: not a directory")

    engine = DeferredEngine(task_pb2.SERVICE_TYPE_STT, make)
    with pytest.raises(ModelError, match="not a directory"):
        await engine.load()
    assert engine.totals() == {}
    await engine.close()


async def test_sigterm_ends_a_download(tmp_path: Path) -> None:
    """The hub accepts the connection and never answers."""
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await reader.read()
        writer.close()

    hub = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = hub.sockets[0].getsockname()[1]
    process = await start(
        "stt", "--port", "0", "--model", "nobody/nothing",
        HF_ENDPOINT=f"http://127.0.0.1:{port}", WORKER_MODEL_CACHE=str(tmp_path), HOME=str(tmp_path),
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            listening = json.loads(await process.stderr.readline())
            await asked.wait()
        assert listening["event"] == "worker listening"
        async with grpc.aio.insecure_channel(f"127.0.0.1:{listening['port']}") as channel:
            assert await health_of(channel) == NOT_SERVING
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            _, err = await process.communicate()
        assert process.returncode == 0
        assert b"worker stopped" in err
        assert b"Traceback" not in err
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        hub.close()
        await hub.wait_closed()
