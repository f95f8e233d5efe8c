"""The metrics of the upstream side, as a Protocol: gateway/metrics.py implements it with the metrics library."""

from __future__ import annotations

from typing import Protocol

from talkup.v1 import task_pb2


class UpstreamMetrics(Protocol):
    """Counters of the upstream side. `reason` and `outcome` are short words from a closed set, suitable as labels."""

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """A stream started looking for a worker."""
        ...

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        """A stream is over: `ended`, `cancelled`, or the reason of its fatal error."""
        ...

    def attempt_began(self, service: task_pb2.ServiceType, number: int, target: str) -> str | None:
        """A worker is asked to admit a stream; returns the `traceparent` that goes to it, if the stream is traced."""
        ...

    def attempt_admitted(self, service: task_pb2.ServiceType) -> None:
        """The worker admitted the stream."""
        ...

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        """A worker, or the connection to it, failed while serving a stream."""
        ...

    def retry(self, service: task_pb2.ServiceType, delay: float) -> None:
        """Another endpoint is tried after `delay` seconds."""
        ...

    def failover(self, service: task_pb2.ServiceType) -> None:
        """A running stream moved to another worker."""
        ...

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Chunks fell out of a full replay buffer and were declared lost."""
        ...


class NoMetrics:
    """Counts nothing."""

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """Ignored."""

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        """Ignored."""

    def attempt_began(self, service: task_pb2.ServiceType, number: int, target: str) -> str | None:
        """Ignored."""

    def attempt_admitted(self, service: task_pb2.ServiceType) -> None:
        """Ignored."""

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        """Ignored."""

    def retry(self, service: task_pb2.ServiceType, delay: float) -> None:
        """Ignored."""

    def failover(self, service: task_pb2.ServiceType) -> None:
        """Ignored."""

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Ignored."""
