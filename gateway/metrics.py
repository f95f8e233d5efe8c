"""The gateway's metrics, for Prometheus. Labels come from closed sets: never a session, address or text."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from talkup.v1 import task_pb2

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_BUCKETS_S = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0)


def _service(service: task_pb2.ServiceType) -> str:
    return task_pb2.ServiceType.Name(service).removeprefix("SERVICE_TYPE_").lower()


class Metrics:
    """The gateway's metrics in their own registry. It also implements UpstreamMetrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._make_gateway_metrics()
        self._make_upstream_metrics()

    def _make_gateway_metrics(self) -> None:
        registry = self.registry
        self.connections = Gauge("gateway_connections", "Open WebSocket connections", registry=registry)
        self.sessions = Gauge("gateway_sessions", "Sessions held, connected or in their grace time", registry=registry)
        self.closes = Counter("gateway_closes", "WebSocket connections closed", ["code"], registry=registry)
        self.streams = Gauge("gateway_streams", "Media streams being processed", ["service"], registry=registry)
        self.frames = Counter("gateway_frames", "WebSocket messages received", ["kind"], registry=registry)
        self.frame_bytes = Counter("gateway_frame_bytes", "Bytes of WebSocket messages received", registry=registry)
        self.chunks = Counter("gateway_chunks", "Media chunks forwarded to workers", ["service"], registry=registry)
        self._chunks_of: dict[task_pb2.ServiceType, Counter] = {}
        self.video_frames = Counter(
            "gateway_video_frames", "Video frames, analysed or dropped, by outcome", ["outcome"], registry=registry
        )
        self.finals = Counter("gateway_finals", "Final segments", registry=registry)
        self.final_latency = Histogram(
            "gateway_final_latency_seconds",
            "Time from a stream's latest chunk to its next final",
            buckets=_LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.errors = Counter("gateway_errors", "Errors reported to clients", ["code"], registry=registry)
        self.auth_failures = Counter("gateway_auth_failures", "Credentials refused", ["door"], registry=registry)
        self.door_requests = Counter(
            "gateway_door_requests",
            "Requests in other dialects, by their answer",
            ["door", "answer"],
            registry=registry,
        )
        self.share_refusals = Counter(
            "gateway_share_refusals", "Refusals because of an owner's terms or share", ["reason"], registry=registry
        )
        self.idle_streams_ended = Counter(
            "gateway_idle_streams_ended", "Streams that sent nothing and lost their slot to others", registry=registry
        )
        self.replaced = Counter(
            "gateway_outbox_replaced", "Messages replaced by newer ones before sending", registry=registry
        )
        self.overflows = Counter(
            "gateway_outbox_overflows", "Connections closed because the client did not read", registry=registry
        )
        self.connections_refused = Counter(
            "gateway_connections_refused",
            "Connections closed before their client was served",
            ["port", "reason"],
            registry=registry,
        )
        self.long_polls_refused = Counter(
            "gateway_long_polls_refused", "Long polls answered at once because too many wait", registry=registry
        )
        self.inbound_overflows = Counter(
            "gateway_inbound_overflows", "Sockets closed because all together held too much unread", registry=registry
        )
        self.frame_pauses = Counter(
            "gateway_frame_pauses", "Times a socket was paused because it sent too many frames", registry=registry
        )
        self.outbox_depth = Gauge("gateway_outbox_depth", "Messages waiting for clients", registry=registry)
        self.event_loop_tasks = Gauge("gateway_event_loop_tasks", "Tasks on the event loop", registry=registry)
        self.pauses = Counter(
            "gateway_read_pauses", "Times a socket was paused because workers were behind", registry=registry
        )
        self.store_failures = Counter(
            "gateway_store_failures", "Writes that the transcript store did not confirm in time", registry=registry
        )
        self.store_sessions_forgotten = Counter(
            "gateway_store_sessions_forgotten",
            "Sessions that Redis lost and that were entered again",
            registry=registry,
        )
        self.store_finals_forgotten = Counter(
            "gateway_store_finals_forgotten", "Finals that were lost with these sessions", registry=registry
        )
        self.store_renewals_skipped = Counter(
            "gateway_store_renewals_skipped", "Sessions whose retention was not renewed in a round", registry=registry
        )
        self.store_sweeps_failed = Counter(
            "gateway_store_sweeps_failed", "Rounds that could not delete old transcripts", registry=registry
        )

    def _make_upstream_metrics(self) -> None:
        registry = self.registry
        self._tasks = Counter("gateway_tasks", "Worker calls finished", ["service", "outcome"], registry=registry)
        self._attempts_failed = Counter(
            "gateway_attempts_failed", "Attempts that failed on a worker", ["service", "reason"], registry=registry
        )
        self._retries = Counter("gateway_retries", "Further attempts started", ["service"], registry=registry)
        self._failovers = Counter(
            "gateway_failovers", "Streams moved to another worker", ["service"], registry=registry
        )
        self._lost = Counter("gateway_chunks_lost", "Chunks declared lost", ["service"], registry=registry)

    def watch_outboxes(self, depth: Callable[[], float]) -> None:
        """Read the outbox depth from `depth` at every scrape."""
        self.outbox_depth.set_function(depth)

    def watch_tasks(self, count: Callable[[], float]) -> None:
        """Read the number of asyncio tasks from `count` at every scrape."""
        self.event_loop_tasks.set_function(count)

    def render(self) -> bytes:
        """The exposition text of CONTENT_TYPE."""
        return generate_latest(self.registry)

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """A stream started looking for a worker."""
        self.streams.labels(_service(service)).inc()

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        """A stream is over."""
        self.streams.labels(_service(service)).dec()
        self._tasks.labels(_service(service), outcome).inc()

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        """A worker, or the connection to it, failed while serving a stream."""
        self._attempts_failed.labels(_service(service), reason).inc()

    def retry(self, service: task_pb2.ServiceType, delay: float) -> None:
        """Another endpoint is tried."""
        self._retries.labels(_service(service)).inc()

    def failover(self, service: task_pb2.ServiceType) -> None:
        """A running stream moved to another worker."""
        self._failovers.labels(_service(service)).inc()

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Chunks were declared lost."""
        self._lost.labels(_service(service)).inc(count)

    def chunk_forwarded(self, service: task_pb2.ServiceType) -> None:
        """A media chunk was forwarded to a worker stream."""
        counter = self._chunks_of.get(service)
        if counter is None:
            counter = self._chunks_of[service] = self.chunks.labels(_service(service))
        counter.inc()
