"""A real worker on a loopback port, and a caller that uses only the generated stubs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import grpc
from talkup.v1 import error_pb2, media_pb2, task_pb2, worker_service_pb2_grpc

from tests.contract.link_caller import LinkCaller
from workers.config import WorkerConfig
from workers.engine import Engine
from workers.errors import ERROR_METADATA_KEY
from workers.fake.engine import FakeEngine
from workers.metrics import WorkerMetrics
from workers.server import WorkerServer

AUDIO = task_pb2.StreamStart(
    kind=media_pb2.MEDIA_KIND_AUDIO,
    format=media_pb2.MediaFormat(mime_type="audio/webm;codecs=opus", container=media_pb2.CONTAINER_WEBM),
)

CHANNEL_OPTIONS = (("grpc.http2.bdp_probe", 0),)


@dataclass
class Worker:
    """A listening worker and a plain channel to it."""

    server: WorkerServer
    port: int
    channel: grpc.aio.Channel
    link: LinkCaller | None = None

    @property
    def stub(self) -> Any:
        return worker_service_pb2_grpc.WorkerServiceStub(self.channel)

    def call(self, **options: Any) -> Call:
        if self.link is not None:
            return Call(self.link.call(**options))
        return Call(self.stub.StreamTask(**options))


@asynccontextmanager
async def running(
    engine: Engine | None = None,
    *,
    load: bool = True,
    metrics: WorkerMetrics | None = None,
    linked: bool = False,
    **settings: Any,
) -> AsyncIterator[Worker]:
    """`linked`: its calls are made in one link, else each as an RPC of its own."""
    settings.setdefault("drain_seconds", 5.0)
    config = WorkerConfig(port=0, **settings)
    server = WorkerServer(config, engine or FakeEngine(), metrics)
    port = await server.start()
    if load:
        await server.load()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS) as channel:
            worker = Worker(server, port, channel)
            if linked:
                worker.link = LinkCaller(worker.stub)
            yield worker
    finally:
        await server.close()


class Call:
    """One StreamTask call, step by step."""

    def __init__(self, call: Any) -> None:
        self.rpc = call
        self._next = 0

    async def start(self, start: task_pb2.StreamStart = AUDIO, **fields: Any) -> None:
        fields = {"session_id": "s", "stream_id": "a", "service_type": task_pb2.SERVICE_TYPE_STT, "attempt": 1} | fields
        await self.rpc.write(task_pb2.TaskRequest(start=start, **fields))

    async def chunk(self, payload: bytes, sequence: int | None = None, **fields: Any) -> None:
        sequence = self._next if sequence is None else sequence
        self._next = sequence + 1
        await self.rpc.write(task_pb2.TaskRequest(chunk=media_pb2.Chunk(sequence=sequence, payload=payload, **fields)))

    async def flush(self, flush_id: int) -> None:
        await self.rpc.write(task_pb2.TaskRequest(flush=task_pb2.StreamFlush(flush_id=flush_id)))

    async def end(self) -> None:
        await self.rpc.write(task_pb2.TaskRequest(end=task_pb2.StreamEnd()))
        await self.rpc.done_writing()

    async def read(self) -> task_pb2.TaskResult | None:
        result = await self.rpc.read()
        return None if result is grpc.aio.EOF else result

    async def read_until(self, kind: str) -> task_pb2.TaskResult:
        while (result := await self.read()) is not None:
            if result.WhichOneof("result") == kind:
                return result
        raise AssertionError(f"the call ended without {kind}: {await self.rpc.code()}")

    async def rest(self) -> list[task_pb2.TaskResult]:
        results = []
        while (result := await self.read()) is not None:
            results.append(result)
        return results

    async def refusal(self) -> tuple[grpc.StatusCode, error_pb2.Error]:
        """The status with which the call ended, and the error in its metadata."""
        with suppress(grpc.aio.AioRpcError):
            await self.rest()  # the status follows the unread results
        code = await self.rpc.code()
        trailing = dict(await self.rpc.trailing_metadata())
        return code, error_pb2.Error.FromString(trailing[ERROR_METADATA_KEY])


async def transcribe(call: Call, chunks: Sequence[bytes], **fields: Any) -> list[task_pb2.TaskResult]:
    """A whole stream: start, chunks, end, all results."""
    reading = asyncio.ensure_future(call.rest())
    await call.start(**fields)
    for chunk in chunks:
        await call.chunk(chunk)
    await call.end()
    return await reading


def final_words(results: Sequence[task_pb2.TaskResult]) -> list[str]:
    return [
        word
        for result in results
        if result.WhichOneof("result") == "transcript" and result.transcript.is_final
        for word in result.transcript.text.split()
    ]
