"""`python -m workers` as a process: what it prints, how it exits, and failures of the fake that need a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from talkup.v1 import worker_service_pb2_grpc

from tests.contract.worker_harness import Call, transcribe

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", ""),
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "generated")]),
    "WORKER_LOG_FORMAT": "json",
}


async def start(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "workers", *arguments,
        env=ENVIRONMENT | environment, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def fake(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Call]]:
    process = await start("fake", "--port", "0", *options)
    try:
        port = None
        async with asyncio.timeout(20):
            async for line in process.stderr:
                entry = json.loads(line)
                port = entry.get("port", port)
                if entry["event"] == "worker serving":
                    break
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield process, Call(worker_service_pb2_grpc.WorkerServiceStub(channel).StreamTask())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_sigterm_drains_and_exits_0() -> None:
    async with fake() as (process, call):
        await call.start()
        await call.read_until("started")
        process.send_signal(signal.SIGTERM)
        await call.read_until("drain")
        await call.end()
        assert (await call.rest())[-1].WhichOneof("result") == "ended"
        async with asyncio.timeout(9):
            _, err = await process.communicate()
    assert process.returncode == 0
    assert b"worker stopped" in err


async def test_crash_after_kills_the_process() -> None:
    async with fake("--crash-after", "2") as (process, call):
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await transcribe(call, [b"x"] * 3)
        # INTERNAL: the end was met by a write instead of a read.
        assert lost.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}
        assert await process.wait() == 70


@pytest.mark.parametrize(
    ("arguments", "expected_text"),
    [
        (("stt", "--host", "0.0.0.0"), "setting --host (WORKER_HOST): 0.0.0.0 is not loopback"),
        (("fake", "--slots", "-1"), "setting --slots (WORKER_SLOTS): must be 0 to 10000"),
        (("fake", "--slots", "many"), "--slots"),
        (("fake", "--tls-cert", "/nonexistent"), "setting --tls-key (WORKER_TLS_KEY): is needed with tls_cert"),
    ],
)
async def test_a_bad_setting_is_one_line_and_exit_2(arguments: tuple[str, ...], expected_text: str) -> None:
    code, _, err = await finish(await start(*arguments))
    assert (code, err.count("\n")) == (2, 1)
    assert expected_text in err


async def test_help_lists_every_setting_with_variable_and_default() -> None:
    code, out, _ = await finish(await start("fake", "--help"))
    text = " ".join(out.split())
    assert code == 0
    for variable in ("WORKER_PORT", "WORKER_MODEL", "WORKER_DEVICE", "WORKER_SLOTS", "WORKER_TOKENS"):
        assert f"[env {variable}; default " in text
    assert "[env WORKER_PORT; default 50051; 0 to 65535]" in text
