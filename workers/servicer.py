"""WorkerService: admits streams, runs each on a session of the engine, and tells them when the worker drains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final, Never

import grpc
import structlog
from talkup.v1 import error_pb2, media_pb2, task_pb2, worker_service_pb2, worker_service_pb2_grpc

from settings.version import VERSION
from tracing.spans import NO_TRACER, TRACEPARENT, Tracer, current, current_span, exemplar
from workers.admission import Admission
from workers.engine import Engine, EngineError, EngineSession, StreamContext
from workers.errors import RefusedError, details, status_of, trailing_metadata
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


@dataclass(frozen=True, slots=True)
class ServicerLimits:
    """Bounds of one worker. `slots` 0 takes the engine's own number."""

    slots: int = 0
    write_seconds: float = 30.0
    stream_seconds: float = 14_400.0
    busy_retry_after_ms: int = 1_000


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
            self._check_open()
            # The guard has read the first message already, so this does not wait.
            task = check_start(await anext(request_iterator), self._engine.service_type)
            with self._traced(task, context):
                await self._serve(task, request_iterator, context)
        except EngineError as error:
            await self._refuse(context, error)
        except Exception as error:  # noqa: BLE001 (the edge of the call: gRPC would log and send the text)
            _log.error("call failed unexpectedly", error=type(error).__name__, where=place_of(error))
            await self._refuse(context, RefusedError(error_pb2.ERROR_CODE_INTERNAL, "the worker failed"))

    async def _refuse(self, context: _Context, error: EngineError) -> Never:
        self._metrics.refused(error_pb2.ErrorCode.Name(error.code))
        await context.abort(status_of(error.code), details(error), trailing_metadata(error))
        raise AssertionError("abort returned")

    def _check_open(self) -> None:
        if self._draining:
            raise RefusedError(error_pb2.ERROR_CODE_NO_WORKER, "this worker is draining", retryable=True)
        if not self._loaded:
            raise RefusedError(error_pb2.ERROR_CODE_NO_WORKER, "the model is not loaded yet", retryable=True)

    async def _serve(self, task: Task, requests: AsyncIterator[task_pb2.TaskRequest], context: _Context) -> None:
        superseded = asyncio.Event()
        lease = self._admission.admit(task.key, task.attempt, superseded.set)
        try:
            now, left, bound = asyncio.get_running_loop().time(), context.time_remaining(), self._limits.stream_seconds
            deadline = now + (bound if left is None else min(left, bound))
            session = self._engine.open(
                task.start,
                StreamContext(task.key.session_id, task.key.stream_id, task.attempt, deadline, task.service_type),
            )
            try:
                # The caller's own deadline is gRPC's to enforce: it cancels the call on both sides.
                limits = StreamLimits(now + bound, self._limits.write_seconds)
                stream = Stream(task, session, requests, context.write, limits=limits, superseded=superseded)
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
    def _traced(self, task: Task, context: _Context) -> Iterator[None]:
        """Record a call in the trace of its caller; what is done for it finds its span with `current_span`."""
        metadata = dict(context.invocation_metadata() or ())
        parent = metadata.get(TRACEPARENT)
        span = self._tracer.begin(
            "worker.stream", parent if isinstance(parent, str) else None, attempt=task.attempt, resumed=_resumed(task)
        )
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


def _resumed(task: Task) -> bool:
    return task.start.HasField("resume_state")


async def _close(session: EngineSession) -> None:
    """Close a session, or give up if that hangs; the slot is free already."""
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await session.close()
    except TimeoutError:
        _log.error("a session did not close in time")
