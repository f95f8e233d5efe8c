"""A scriptable worker: the real gRPC server and service on loopback, with words as a function of the bytes received.

Every word is final at once and stands for one chunk: `w<sequence>:<crc32 of the payload>`. The progress that goes with
it commits the chunk, so a test can add up the words over any number of workers and compare them with the chunks sent.
`Script` says when to answer, fall silent, refuse, abort or drain.
"""

from __future__ import annotations

import asyncio
import uuid
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from talkup.v1 import (
    analysis_pb2,
    error_pb2,
    media_pb2,
    task_pb2,
    transcript_pb2,
    worker_service_pb2,
    worker_service_pb2_grpc,
)

from tests.fakes.link_server import LinkedContext, LinkServer

SERVICE = "talkup.v1.WorkerService"


@dataclass
class Script:
    """What the worker does; None: never. Sequences are those of chunks received."""

    slots: int = 4
    commit_every: int = 1
    first_sequence: int = 0
    refuse: grpc.StatusCode | None = None
    refuse_with: error_pb2.Error | None = None
    ghost_at: int | None = None
    abort_at: int | None = None
    abort_with: grpc.StatusCode = grpc.StatusCode.INTERNAL
    abort_details: str = ""
    kill_at: int | None = None
    silent_from: int | None = None
    drain_at: int | None = None
    drain_ms: int = 60_000
    error_at: int | None = None
    error: error_pb2.Error | None = None
    # What the message of this error commits, and the delivery that it covers.
    error_progress: task_pb2.Progress | None = None
    error_delivery: tuple[analysis_pb2.Analysis, ...] = ()
    mute_start: bool = False
    answer_end: bool = True
    end_gate: asyncio.Event | None = None
    close_early: bool = False


@dataclass
class Seen:
    """What one call received."""

    start: task_pb2.TaskRequest
    requests: list[task_pb2.TaskRequest] = field(default_factory=list)

    @property
    def sequences(self) -> list[int]:
        return [r.chunk.sequence for r in self.requests if r.HasField("chunk")]


def word(chunk: media_pb2.Chunk) -> str:
    """The one word that stands for a chunk."""
    return f"w{chunk.sequence}:{zlib.crc32(chunk.payload):08x}"


class WorkerServer(worker_service_pb2_grpc.WorkerServiceServicer):
    """One worker on a loopback port of its own."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.seen: list[Seen] = []
        self.active = 0
        self.described = 0
        self.draining = False
        self.hung = asyncio.Event()
        self.metadata: list[dict[str, str]] = []
        self.port = 0
        self.links = 0
        self.linked_calls = 0
        self.offer: worker_service_pb2.LinkOffer | None = worker_service_pb2.LinkOffer(
            worker_id=str(uuid.uuid4()), max_calls=1000, max_batch_bytes=4 << 20
        )
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> WorkerServer:
        options = [
            ("grpc.so_reuseport", 0),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.bdp_probe", 0),
        ]
        self._server = grpc.aio.server(options=options)
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        address = f"127.0.0.1:{port}"
        self.port = (
            self._server.add_secure_port(address, credentials)
            if credentials
            else self._server.add_insecure_port(address)
        )
        await self.set_serving(True)
        await self._server.start()
        return self

    async def set_serving(self, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse
        await self._health.set(SERVICE, status.SERVING if serving else status.NOT_SERVING)

    async def kill(self) -> None:
        """Cut every connection now."""
        if self._server is not None:
            await self._server.stop(None)

    async def Describe(self, request, context):
        if self.hung.is_set():
            await asyncio.Event().wait()
        self.described += 1
        return worker_service_pb2.DescribeResponse(
            service_type=task_pb2.SERVICE_TYPE_STT,
            models=[task_pb2.ModelInfo(name="words")],
            languages=["en"],
            formats=["audio/pcm"],
            slots=task_pb2.Slots(total=self.script.slots, free=max(0, self.script.slots - self.active)),
            draining=self.draining,
            link=self.offer,
        )

    async def StreamTasks(self, request_iterator, context) -> None:
        self.links += 1
        link = LinkServer(self.StreamTask, context.write, context.invocation_metadata())
        await link.run(request_iterator)

    async def StreamTask(self, request_iterator, context) -> AsyncIterator[task_pb2.TaskResult]:
        self.linked_calls += isinstance(context, LinkedContext)
        self.metadata.append({key: str(value) for key, value in context.invocation_metadata()})
        if self.script.refuse is not None:
            beside = self.script.refuse_with
            trailing = () if beside is None else (("talkup-error-bin", beside.SerializeToString()),)
            await context.abort(self.script.refuse, "refused by script", trailing)
        if self.active >= self.script.slots:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        self.active += 1
        try:
            start = await anext(request_iterator)
            seen = Seen(start)
            self.seen.append(seen)
            if self.script.mute_start:
                await asyncio.Event().wait()
            async for result in self._answer(seen, request_iterator, context):
                result.session_id, result.stream_id = start.session_id, start.stream_id
                result.service_type, result.attempt = start.service_type, result.attempt or start.attempt
                yield result
        finally:
            self.active -= 1

    async def _answer(self, seen: Seen, requests, context) -> AsyncIterator[task_pb2.TaskResult]:
        state = seen.start.start.resume_state
        next_segment = int(state.decode()) if state else 1
        pending: list[media_pb2.Chunk] = []
        yield task_pb2.TaskResult(started=task_pb2.Started(resumed=bool(state)))
        if self.script.close_early:
            return
        async for request in requests:
            seen.requests.append(request)
            match request.WhichOneof("payload"):
                case "chunk":
                    async for event in self._chunk_events(request.chunk.sequence, context):
                        yield event
                    pending.append(request.chunk)
                    if len(pending) >= self.script.commit_every:
                        yield _final(pending, next_segment)
                        pending, next_segment = [], next_segment + 1
                case "flush":
                    if pending:
                        yield _final(pending, next_segment)
                        pending, next_segment = [], next_segment + 1
                    yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=request.flush.flush_id))
                case "end":
                    if not self.script.answer_end:
                        await asyncio.Event().wait()
                    if self.script.end_gate is not None:
                        await self.script.end_gate.wait()
                    if pending:
                        yield _final(pending, next_segment)
                    yield task_pb2.TaskResult(ended=task_pb2.Ended(segments=next_segment))
                    return

    async def _chunk_events(self, sequence: int, context) -> AsyncIterator[task_pb2.TaskResult]:
        script = self.script
        if sequence == script.kill_at:
            asyncio.get_running_loop().create_task(self.kill())
            await asyncio.Event().wait()
        if sequence == script.abort_at:
            await context.abort(script.abort_with, script.abort_details)
        if script.silent_from is not None and sequence >= script.silent_from:
            self.hung.set()
            await asyncio.Event().wait()
        if sequence == script.ghost_at:
            yield task_pb2.TaskResult(attempt=99, transcript=transcript_pb2.Transcript(is_final=True, text="ghost"))
        if sequence == script.error_at:
            yield task_pb2.TaskResult(
                error=script.error, progress=script.error_progress, delivery=script.error_delivery
            )
        if sequence == script.drain_at:
            self.draining = True
            yield task_pb2.TaskResult(drain=task_pb2.Drain(deadline_ms=script.drain_ms))


def _final(chunks: list[media_pb2.Chunk], segment_id: int) -> task_pb2.TaskResult:
    last = chunks[-1].sequence
    return task_pb2.TaskResult(
        transcript=transcript_pb2.Transcript(
            segment_id=segment_id, is_final=True, text=" ".join(word(chunk) for chunk in chunks)
        ),
        progress=task_pb2.Progress(
            committed_sequence=last, replay_from_sequence=last + 1, resume_state=str(segment_id + 1).encode()
        ),
    )
