"""The gateway's metrics, for Prometheus. Labels come from closed sets: never a session, address or text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from talkup.v1 import task_pb2

from gateway.access.terms import Door
from gateway.metrics_process import ProcessSeries
from gateway.metrics_store import StoreSeries
from gateway.metrics_traffic import Traffic
from gateway.metrics_upstream import UpstreamCollector, UpstreamSeries
from gateway.protocol.errors import CloseCode, Code
from gateway.upstream.pool import Upstream
from settings.version import VERSION

OPEN_METRICS = openmetrics.CONTENT_TYPE_LATEST
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Those of RFC 6455, and the gateway's own: clients may choose among two thousand others.
_CLOSE_CODES = frozenset({*range(1000, 1016), *CloseCode})

# Prometheus needs no second series per counter that says when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics(UpstreamSeries):
    """The gateway's metrics in their own registry, one module a subject. It also implements UpstreamMetrics."""

    def __init__(self, gather: Callable[[bytes], Awaitable[bytes]] | None = None) -> None:
        """`gather` adds the metrics of the other processes, if there are any."""
        self._gather = gather
        self.registry = CollectorRegistry()
        super().__init__(self.registry)
        self.store = StoreSeries(self.registry)
        self.process = ProcessSeries(self.registry, VERSION)
        self._make_gateway_metrics()

    def _make_gateway_metrics(self) -> None:
        registry = self.registry
        self.connections = Gauge("gateway_connections", "Open WebSocket connections", registry=registry)
        self.sessions = Gauge("gateway_sessions", "Sessions held, connected or in their grace time", registry=registry)
        self.closes = Counter("gateway_closes", "WebSocket connections closed", ["code"], registry=registry)
        self._traffic = Traffic(registry)
        self.video_frames = Counter(
            "gateway_video_frames", "Video frames, analysed or dropped, by outcome", ["outcome"], registry=registry
        )
        self.finals = Counter("gateway_finals", "Final segments", registry=registry)
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
        self.refusal_pauses = Counter(
            "gateway_refusal_pauses", "Times a socket was read later because of refused messages", registry=registry
        )
        self.frame_pauses = Counter(
            "gateway_frame_pauses", "Times a socket was paused because it sent too many frames", registry=registry
        )
        self.outbox_depth = Gauge("gateway_outbox_depth", "Messages waiting for clients", registry=registry)
        self.event_loop_tasks = Gauge("gateway_event_loop_tasks", "Tasks on the event loop", registry=registry)
        self.pauses = Counter(
            "gateway_read_pauses", "Times a socket was paused because workers were behind", registry=registry
        )
        self.dropped = Counter(
            "gateway_chunks_dropped",
            "Chunks of streams that ended: missing, duplicate, or orphan (too late, or without a header)",
            ["reason"],
            registry=registry,
        )
        self.speech_forgotten = Counter(
            "gateway_speech_forgotten",
            "Speech not compared with that of other streams: it waited too long for them, or for its clock",
            ["kind"],
            registry=registry,
        )
        for counter, words in (
            (self.speech_forgotten, ("words", "stretches")),
            (self.dropped, ("missing", "duplicate", "orphan")),
            (self.errors, Code),
            (self.auth_failures, (*Door, "absent")),
            (self.share_refusals, ("rate", "service", "streams", "media", "slots")),
            (self.video_frames, ("analyzed", "overload", "stale", "corrupt", "other")),
        ):
            for word in words:  # a series that begins above zero has neither rate nor increase
                counter.labels(word)

    def watch_outboxes(self, depth: Callable[[], float]) -> None:
        """Read the outbox depth from `depth` at every scrape."""
        self.outbox_depth.set_function(depth)

    def watch_tasks(self, count: Callable[[], float]) -> None:
        """Read the number of asyncio tasks from `count` at every scrape."""
        self.event_loop_tasks.set_function(count)

    def render_with_exemplars(self) -> bytes:
        """The exposition text of OPEN_METRICS, the only one that has exemplars."""
        text: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]
        return text

    def render(self) -> bytes:
        """The exposition text of CONTENT_TYPE."""
        return generate_latest(self.registry)

    async def render_all(self) -> bytes:
        """The same for all processes of the gateway."""
        own = self.render()
        return own if self._gather is None else await self._gather(own)

    def closed(self, code: int | None) -> None:
        """A WebSocket was closed; None: without a close frame. Codes that only clients choose count as `other`."""
        self.closes.labels(str(code or 1006) if code is None or code in _CLOSE_CODES else "other").inc()

    def watch_upstream(self, upstream: Upstream) -> None:
        """Look at the workers and the open streams at every scrape."""
        self.registry.register(UpstreamCollector(upstream))

    def text_received(self, size: int) -> None:
        """A text message of `size` bytes was received."""
        self._traffic.texts += 1
        self._traffic.bytes += size

    def binary_received(self, size: int) -> None:
        """A binary message of `size` bytes was received."""
        self._traffic.binaries += 1
        self._traffic.bytes += size

    def chunk_forwarded(self, service: task_pb2.ServiceType) -> None:
        """A media chunk was forwarded to a worker stream."""
        self._traffic.chunk_forwarded(service)
