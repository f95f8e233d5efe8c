"""WorkerService: admits streams, runs each on a session of the engine, and tells them when the worker drains."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Never

import grpc
import structlog
from talkup.v1 import error_pb2, link_pb2, media_pb2, task_pb2, worker_service_pb2, worker_service_pb2_grpc

from settings.version import VERSION
from tracing.spans import NO_TRACER, TRACEPARENT, Tracer, current, current_span, exemplar
from workers.admission import Admission
from workers.call import Call
from workers.engine import Engine, EngineError, EngineSession, StreamContext
from workers.errors import RefusedError, details, status_of, trailing_metadata
from workers.link import Link, LinkPlaces
from workers.metrics import WorkerMetrics
from workers.requests import PROTOCOL_VERSIONS, Task, check_start
from workers.stream import Outcome, Stream, StreamLimits, place_of

_log = structlog.get_logger()

CAPABILITIES: Final[dict[task_pb2.ServiceType, tuple[str, ...]]] = {
    task_pb2.SERVICE_TYPE_STT: ("interim_results", "word_timestamps", "speech_events", "flush", "resume", "delivery"),
    task_pb2.SERVICE_TYPE_DELIVERY: ("delivery", "flush", "resume"),
    task_pb2.SERVICE_TYPE_VISION: ("frame_signals", "window_signals", "events", "flush", "resume"),
}
"""What every engine of a service offers; the conformance suite holds engines to it."""

_CLOSE_SECONDS: Final = 2.0
# Streams move when another worker has room, however long that takes: 49 days, the most that the field holds.
_NO_DEADLINE_MS: Final = 2**32 - 1
_Context = grpc.aio.ServicerContext[task_pb2.TaskRequest, task_pb2.TaskResult]
_LinkContext = grpc.aio.ServicerContext[link_pb2.TaskBatch, link_pb2.TaskResultBatch]
# In the metadata of calls that came through a proxy which may spread them over several workers.
_PROXY_MARKS: Final = ("via", "forwarded", "x-forwarded-", "x-request-id", "x-envoy-", "l5d-")


@dataclass(frozen=True, slots=True)
class ServicerLimits:
    """Bounds of one worker. `slots` 0 takes the engine's own number. `linked_calls`: open calls of all links."""

    slots: int = 0
    write_seconds: float = 30.0
    stream_seconds: float = 14_400.0
    busy_retry_after_ms: int = 1_000
    linked_calls: int = 1_000
    message_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class _RpcCall:
    """A call that came as an RPC of its own."""

    requests: AsyncIterator[task_pb2.TaskRequest]
    context: _Context

    @property
    def traceparent(self) -> str | None:
        parent = dict(self.context.invocation_metadata() or ()).get(TRACEPARENT)
        return parent if isinstance(parent, str) else None

    def time_remaining(self) -> float | None:
        return self.context.time_remaining()

    async def write(self, result: task_pb2.TaskResult) -> None:
        await self.context.write(result)


def _ignore() -> None:
    """The default for `serving_changed`."""


class WorkerServicer(worker_service_pb2_grpc.WorkerServiceServicer):
    """The service of one engine. Streams are admitted between `engine_loaded` and `drain`."""

    def __init__(
        self,
        engine: Engine,
        limits: ServicerLimits,
        metrics: WorkerMetrics,
        tracer: Tracer = NO_TRACER,
        *,
        serving_changed: Callable[[], None] = _ignore,
    ) -> None:
        """`serving_changed` is called when an operator has changed `serving`."""
        self._engine = engine
        self._tracer = tracer
        self._limits = limits
        self._metrics = metrics
        self._admission = Admission(0, retry_after_ms=limits.busy_retry_after_ms)
        self._streams: set[Stream] = set()
        self._id = str(uuid.uuid4())
        self._linked = LinkPlaces(limits.linked_calls)
        self._loaded = False
        self._draining = False
        self._stopping = False
        self._serving_changed = serving_changed
        self._idle = asyncio.Event()
        self._idle.set()

    def engine_loaded(self) -> int:
        """Begin to admit streams; returns the number of slots."""
        total = self._limits.slots or self._engine.default_slots()
        self._admission.resize(total)
        self._loaded = True
        self._metrics.slots(self._admission.slots())
        return total

    def resize(self, slots: int) -> None:
        """Admit up to `slots` streams from now on; those that run go on."""
        self._admission.resize(slots)
        self._metrics.slots(self._admission.slots())

    @property
    def serving(self) -> bool:
        """Whether streams are admitted while there is room."""
        return self._loaded and not self._draining

    async def drain(self, seconds: float) -> None:
        """Admit no more streams, tell the running ones, and wait until they have ended, at most `seconds`."""
        self._stopping = self._draining = True
        for stream in self._streams:
            stream.drain(round(seconds * 1000))
        if not await self.wait_until_idle(seconds):
            _log.warning("streams still running at the end of the drain", streams=len(self._streams))

    async def wait_until_idle(self, seconds: float) -> bool:
        """Wait until no stream runs, at most `seconds`; returns whether that is so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        return self._idle.is_set()

    async def Describe(  # noqa: N802 (the contract's name)
        self,
        request: worker_service_pb2.DescribeRequest,
        context: grpc.aio.ServicerContext[worker_service_pb2.DescribeRequest, worker_service_pb2.DescribeResponse],
    ) -> worker_service_pb2.DescribeResponse:
        """What this worker is; before the model is loaded, without models and slots."""
        description = worker_service_pb2.DescribeResponse()
        if self._loaded:
            description.CopyFrom(self._engine.describe())
        description.service_type = self._engine.service_type
        description.worker_version = VERSION
        description.draining = self._draining
        description.slots.CopyFrom(self._admission.slots())
        del description.protocol_versions[:]
        description.protocol_versions.extend(PROTOCOL_VERSIONS)
        if not _came_through_a_proxy(context):
            description.link.worker_id = self._id
            description.link.max_calls = self._limits.linked_calls
            description.link.max_batch_bytes = self._limits.message_bytes
        return description

    async def SetDraining(  # noqa: N802 (the contract's name)
        self,
        request: worker_service_pb2.SetDrainingRequest,
        context: grpc.aio.ServicerContext[
            worker_service_pb2.SetDrainingRequest, worker_service_pb2.SetDrainingResponse
        ],
    ) -> worker_service_pb2.SetDrainingResponse:
        """Take the worker out of rotation, or back; a worker that is stopping stays out."""
        draining = request.draining or self._stopping
        if draining != self._draining:
            self._draining = draining
            _log.warning("taken out of rotation" if draining else "back in rotation", streams=len(self._streams))
            self._serving_changed()
            if draining:
                for stream in self._streams:
                    stream.drain(_NO_DEADLINE_MS)
        return worker_service_pb2.SetDrainingResponse(streams=len(self._streams))

    async def StreamTask(  # noqa: N802 (the contract's name)
        self, request_iterator: AsyncIterator[task_pb2.TaskRequest], context: _Context
    ) -> None:
        """One media stream. Refusals end the call with a status; failures of the stream travel in band."""
        try:
            await self._serve_call(_RpcCall(request_iterator, context))
        except EngineError as error:
            await self._refuse(context, error)

    async def StreamTasks(  # noqa: N802 (the contract's name)
        self, request_iterator: AsyncIterator[link_pb2.TaskBatch], context: _LinkContext
    ) -> None:
        """Many media streams, each as StreamTask would serve it. A breach of the link's rules ends all of them."""
        link = Link(self._serve_linked, self._linked, self._limits.message_bytes, context.write)
        try:
            await link.run(request_iterator)
        except RefusedError as breach:
            _log.warning("a caller broke the rules of its link", problem=details(breach))
            await self._refuse(context, breach)

    async def _serve_linked(self, call: Call) -> None:
        try:
            if self._linked.overdrawn:
                raise RefusedError(error_pb2.ERROR_CODE_BUSY, "too many calls", retryable=True)
            await self._serve_call(call)
        except EngineError as error:
            self._metrics.refused(error_pb2.ErrorCode.Name(error.code))
            raise

    async def _serve_call(self, call: Call) -> None:
        """Serve a call to its end. Raises EngineError if it is refused."""
        try:
            self._check_open()
            requests = call.requests
            # The first message is there already, so this does not wait.
            task = check_start(await anext(requests), self._engine.service_type)
            with self._traced(task, call):
                await self._serve(task, requests, call)
        except EngineError:
            raise
        except Exception as error:  # noqa: BLE001 (the edge of the call: its text must not travel)
            _log.error("call failed unexpectedly", error=type(error).__name__, where=place_of(error))
            raise RefusedError(error_pb2.ERROR_CODE_INTERNAL, "the worker failed") from None

    async def _refuse(self, context: _Context | _LinkContext, error: EngineError) -> Never:
        self._metrics.refused(error_pb2.ErrorCode.Name(error.code))
        await context.abort(status_of(error.code), details(error), trailing_metadata(error))
        raise AssertionError("abort returned")

    def _check_open(self) -> None:
        if self._draining:
            raise RefusedError(error_pb2.ERROR_CODE_NO_WORKER, "this worker is draining", retryable=True)
        if not self._loaded:
            raise RefusedError(error_pb2.ERROR_CODE_NO_WORKER, "the model is not loaded yet", retryable=True)

    async def _serve(self, task: Task, requests: AsyncIterator[task_pb2.TaskRequest], call: Call) -> None:
        superseded = asyncio.Event()
        lease = self._admission.admit(task.key, task.attempt, superseded.set)
        try:
            now, left, bound = asyncio.get_running_loop().time(), call.time_remaining(), self._limits.stream_seconds
            deadline = now + (bound if left is None else min(left, bound))
            session = self._engine.open(
                task.start,
                StreamContext(task.key.session_id, task.key.stream_id, task.attempt, deadline, task.service_type),
            )
            try:
                # The caller's own deadline is enforced where the call comes from, by cancelling this.
                limits = StreamLimits(now + bound, self._limits.write_seconds)
                stream = Stream(task, session, requests, call.write, limits=limits, superseded=superseded)
                with self._running(stream, task):
                    await stream.run(self._started(task))
            finally:
                self._admission.release(lease)
                await _close(session)
        finally:
            self._admission.release(lease)
            self._metrics.slots(self._admission.slots())

    def _started(self, task: Task) -> task_pb2.Started:
        models = self._engine.describe().models
        return task_pb2.Started(
            model=models[0] if models else None,
            capabilities=CAPABILITIES[task.service_type],
            resumed=task.start.HasField("resume_state"),
            slots=self._admission.slots(),
            worker_version=VERSION,
        )

    @contextmanager
    def _traced(self, task: Task, call: Call) -> Iterator[None]:
        """Record a call in the trace of its caller; what is done for it finds its span with `current_span`."""
        span = self._tracer.begin("worker.stream", call.traceparent, attempt=task.attempt, resumed=_resumed(task))
        failure: str | None = "cancelled"
        try:
            with current(span):
                yield
            failure = None
        except EngineError as error:
            failure = error_pb2.ErrorCode.Name(error.code).lower()
            raise
        finally:
            span.end(failure)

    @contextmanager
    def _running(self, stream: Stream, task: Task) -> Iterator[None]:
        """Count and log a stream while it runs."""
        log = _log.bind(session_id=task.key.session_id, stream_id=task.key.stream_id, attempt=task.attempt)
        began = asyncio.get_running_loop().time()
        self._streams.add(stream)
        self._idle.clear()
        self._metrics.slots(self._admission.slots())
        span = current_span()
        if span.trace_id is not None:
            log = log.bind(trace_id=span.trace_id)
        log.info(
            "stream opened",
            # The container and not `mime_type`, which may be any text of the caller.
            container=media_pb2.Container.Name(task.start.format.container),
            resumed=_resumed(task),
        )
        try:
            yield
        finally:
            self._streams.discard(stream)
            if not self._streams:
                self._idle.set()
            numbers = stream.numbers
            seconds = asyncio.get_running_loop().time() - began
            self._metrics.stream_ended(numbers, seconds, exemplar(span))
            span.event("ended", chunks=numbers.chunks, results=numbers.results, finals=numbers.finals)
            if numbers.error_code is not None:
                span.end(numbers.error_code.lower())
            span.end(Outcome.CANCELLED.value if numbers.outcome is Outcome.CANCELLED else None)
            log.info(
                "stream ended",
                outcome=numbers.outcome.value,
                error=numbers.error_code,
                chunks=numbers.chunks,
                bytes=numbers.bytes,
                results=numbers.results,
                finals=numbers.finals,
                committed_sequence=numbers.committed_sequence,
                seconds=round(seconds, 3),
            )


def _came_through_a_proxy(
    context: grpc.aio.ServicerContext[worker_service_pb2.DescribeRequest, worker_service_pb2.DescribeResponse],
) -> bool:
    names = [name for name, _ in context.invocation_metadata() or ()]
    return any(name.startswith(_PROXY_MARKS) for name in names)


def _resumed(task: Task) -> bool:
    return task.start.HasField("resume_state")


async def _close(session: EngineSession) -> None:
    """Close a session, or give up if that hangs; the slot is free already."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await session.close()
    except TimeoutError:
        _log.error("a session did not close in time")
