"""A session's open worker streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from talkup.v1 import error_pb2, task_pb2

from gateway.access.shares import Shares, Slot
from gateway.access.terms import Terms
from gateway.contract import traits_of
from gateway.metrics import Metrics
from gateway.protocol.actions import TaskKey
from gateway.protocol.negotiation import service_name, slot_name
from gateway.sessions.stream_traces import StreamTraces
from gateway.upstream.pool import Receiver, TaskStream, Upstream

log = structlog.get_logger()


class WorkerCalls:
    """The open calls of one session, by stream and service. Every `now` is UNIX seconds."""

    def __init__(
        self, session_id: str, upstream: Upstream, metrics: Metrics, shares: Shares, traces: StreamTraces
    ) -> None:
        self._shares = shares
        self._traces = traces
        self._session_id = session_id
        self._upstream = upstream
        self._metrics = metrics
        self._open: dict[TaskKey, TaskStream] = {}
        self._unfinished: dict[TaskStream, None] = {}
        self._slots: dict[TaskKey, Slot] = {}

    def __len__(self) -> int:
        return len(self._open)

    def take_slot(self, key: TaskKey, terms: Terms, give_back: Callable[[bool], bool]) -> None:
        """Count a call that is about to open against its owner's share, until it is over; `give_back` as for Slot."""
        self._slots[key] = self._shares.take(terms, slot_name(key.service_type), give_back)

    def open(self, key: TaskKey, request: task_pb2.TaskRequest, receive: Receiver, *, resumed: bool) -> TaskStream:
        """Open a call. When `receive` gets None, the call is over and has to be closed."""
        service = service_name(key.service_type)
        trace = self._traces.begin(key.stream_id)
        found = {} if trace.trace_id is None else {"trace_id": trace.trace_id}
        log.info("stream opened", session_id=self._session_id, stream_id=key.stream_id, service=service, **found)
        stream = self._upstream.open(key.service_type, request, receive, resumed=resumed, trace=trace)
        self._open[key] = stream
        self._unfinished[stream] = None
        return stream

    def forward(self, key: TaskKey, request: task_pb2.TaskRequest, now: float) -> None:
        """Forward a request to a call; ignored if the call is over."""
        stream = self._open.get(key)
        if stream is None:
            return
        if request.WhichOneof("payload") == "chunk":
            self._slots[key].active_at = now
            self._metrics.chunk_forwarded(key.service_type)
        stream.offer(request)

    def first_congested(self) -> TaskStream | None:
        """A call that is too far behind to accept more; None: there is none."""
        for stream in self._open.values():
            if stream.congested:
                return stream
        return None

    def congested(self) -> list[tuple[TaskKey, TaskStream]]:
        """The calls that are too far behind to accept more."""
        return [(key, stream) for key, stream in self._open.items() if stream.congested]

    def close(self, key: TaskKey, stream: TaskStream) -> None:
        """Forget a call that is over."""
        self._open.pop(key, None)
        if (slot := self._slots.pop(key, None)) is not None:
            self._shares.free(slot)
        self._unfinished.pop(stream, None)

    def cancel_one(self, key: TaskKey) -> None:
        """Cancel a call; it is over soon."""
        if (stream := self._open.get(key)) is not None:
            stream.cancel()

    def cancel(self) -> None:
        """Drop all open calls; none of their results is passed on any more."""
        for stream in self._open.values():
            stream.cancel()
        self._open.clear()
        self._traces.end_all()
        for slot in self._slots.values():
            self._shares.free(slot)
        self._slots.clear()

    async def wait_until_over(self) -> None:
        """Wait until every call is over; after `cancel` that is soon."""
        await asyncio.gather(*(stream.wait_until_over() for stream in self._unfinished))


def internal_error(session_id: str, key: TaskKey) -> task_pb2.TaskResult:
    """The result that ends a stream after an internal error of the gateway."""
    error = error_pb2.Error(
        status_code=traits_of(error_pb2.ERROR_CODE_INTERNAL).grpc_status,
        code=error_pb2.ERROR_CODE_INTERNAL,
        message="internal error on this stream",
        retryable=True,
        fatal=True,
    )
    return task_pb2.TaskResult(
        session_id=session_id, stream_id=key.stream_id, service_type=key.service_type, error=error
    )
