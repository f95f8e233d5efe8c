"""The metrics of the upstream side, as a Protocol: gateway/metrics_upstream.py implements it."""

from __future__ import annotations

from typing import Protocol

from talkup.v1 import task_pb2


class UpstreamMetrics(Protocol):
    """Counters of the upstream side. Every word among the arguments is from a closed set, suitable as a label."""

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """A stream started looking for a worker."""
        ...

    def stream_admitted(self, service: task_pb2.ServiceType, seconds: float, *, is_failover: bool) -> None:
        """A worker took the stream, `seconds` after one was asked for. `is_failover`: it left another worker before."""
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

    def retry(self, service: task_pb2.ServiceType, reason: str) -> None:
        """Another endpoint is tried; `reason`: why the last one failed, such as a gRPC status in small letters."""
        ...

    def replayed(self, service: task_pb2.ServiceType, size: int) -> None:
        """Media of this many bytes is sent again, to another worker."""
        ...

    def committed(self, service: task_pb2.ServiceType, seconds: float, *, is_file: bool) -> None:
        """A chunk became final, `seconds` after it came from the client; `is_file`: it belongs to a recording."""
        ...

    def finalised(self, seconds: float, example: dict[str, str] | None = None) -> None:
        """Live speech became final text, `seconds` after its last sound came from the client. `example`: a trace."""
        ...

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Chunks fell out of a full replay buffer and were declared lost."""
        ...


class NoMetrics:
    """Counts nothing."""

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """Ignored."""

    def stream_admitted(self, service: task_pb2.ServiceType, seconds: float, *, is_failover: bool) -> None:
        """Ignored."""

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        """Ignored."""

    def attempt_began(self, service: task_pb2.ServiceType, number: int, target: str) -> str | None:
        """Ignored."""

    def attempt_admitted(self, service: task_pb2.ServiceType) -> None:
        """Ignored."""

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        """Ignored."""

    def retry(self, service: task_pb2.ServiceType, reason: str) -> None:
        """Ignored."""

    def replayed(self, service: task_pb2.ServiceType, size: int) -> None:
        """Ignored."""

    def committed(self, service: task_pb2.ServiceType, seconds: float, *, is_file: bool) -> None:
        """Ignored."""

    def finalised(self, seconds: float, example: dict[str, str] | None = None) -> None:
        """Ignored."""

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Ignored."""
