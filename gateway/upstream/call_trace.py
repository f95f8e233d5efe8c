"""The spans of one media stream's calls to workers, made from what its TaskStream reports to the metrics.

call                      from the first look for a worker to the stream's end
  admission               until a worker admits the stream; again after a worker was lost or drains
    attempt 1 (failed)    its context goes to the worker, whose spans are its children
    attempt 2             linked to attempt 1; it lasts as long as the worker serves the stream
"""

from __future__ import annotations

from typing import Final

from talkup.v1 import task_pb2

from gateway.upstream.observer import UpstreamMetrics
from tracing.spans import NO_SPAN, Span, exemplar

# Outcomes of a stream that are no failures.
_FINE: Final = frozenset({"ended", "cancelled"})


class CallTrace:
    """Passes everything on to the metrics and records it in spans below `stream`."""

    def __init__(self, metrics: UpstreamMetrics, stream: Span) -> None:
        self._metrics = metrics
        self._stream = stream
        self._call: Span = NO_SPAN
        self._admission: Span = NO_SPAN
        self._attempt: Span = NO_SPAN
        self._lost: Span | None = None
        self._is_admitted = False

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """A stream started looking for a worker."""
        self._metrics.stream_opened(service)
        name = task_pb2.ServiceType.Name(service).removeprefix("SERVICE_TYPE_").lower()
        self._call = self._stream.child("call", service=name)
        self._admission = self._call.child("admission")

    def attempt_began(self, service: task_pb2.ServiceType, number: int, target: str) -> str | None:
        """A worker is asked to admit the stream; returns the context that goes to it."""
        self._metrics.attempt_began(service, number, target)
        if self._is_admitted:  # a draining worker was left
            self._is_admitted = False
            self._leave(None)
            self._admission = self._call.child("admission")
        self._attempt = self._call.child("attempt", follows=self._lost, attempt=number, worker=target)
        return self._attempt.traceparent

    def attempt_admitted(self, service: task_pb2.ServiceType) -> None:
        """The worker admitted the stream."""
        self._metrics.attempt_admitted(service)
        self._is_admitted = True
        self._admission.end()

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        """The worker, or the connection to it, failed."""
        self._metrics.attempt_failed(service, reason)
        self._leave(reason)
        if self._is_admitted:
            self._is_admitted = False
            self._call.event("worker lost", reason=reason)
            self._admission = self._call.child("admission")

    def retry(self, service: task_pb2.ServiceType, reason: str) -> None:
        """Another endpoint is tried."""
        self._metrics.retry(service, reason)
        self._admission.event("retry", reason=reason)

    def stream_admitted(self, service: task_pb2.ServiceType, seconds: float, *, is_failover: bool) -> None:
        """A worker took the stream."""
        self._metrics.stream_admitted(service, seconds, is_failover=is_failover)
        if is_failover:
            self._call.event("failover")

    def replayed(self, service: task_pb2.ServiceType, size: int) -> None:
        """Media is sent again."""
        self._metrics.replayed(service, size)

    def committed(self, service: task_pb2.ServiceType, seconds: float, *, is_file: bool) -> None:
        """A chunk became final."""
        self._metrics.committed(service, seconds, is_file=is_file)

    def finalised(self, seconds: float, example: dict[str, str] | None = None) -> None:
        """Live speech became final text; the histogram gets this trace as an example."""
        self._metrics.finalised(seconds, exemplar(self._stream) if example is None else example)

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Chunks were declared lost."""
        self._metrics.chunks_lost(service, count)
        self._call.event("chunks lost", count=count)

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        """The stream is over."""
        self._metrics.stream_finished(service, outcome)
        failure = None if outcome in _FINE else outcome
        for span in (self._admission, self._attempt, self._call):
            span.end(failure)

    def _leave(self, failure: str | None) -> None:
        self._attempt.end(failure)
        self._lost = self._attempt
