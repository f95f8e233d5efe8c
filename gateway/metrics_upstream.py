"""Metrics of the workers as the gateway sees them, and of the streams on their way to them.

The label `worker` is an address of the settings, or one that a name of the settings resolves to: a closed set.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from talkup.v1 import task_pb2

from gateway.upstream.pool import Upstream

SERVICES: Final = ("stt", "vision", "delivery")
# The usual reasons why an attempt fails; others have a series of their own from their first time on.
_REASONS: Final = (
    "unavailable",
    "resource_exhausted",
    "deadline_exceeded",
    "connect_deadline",
    "stalled",
    "worker_error",
)
# From the arrival of media to final text: an idle speech worker needs 1 to 3 s.
LATENCY_BUCKETS_S: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 30.0, 60.0)
# A worker with room admits a stream within milliseconds; the last bounds are `worker_admit_s` and `worker_recover_s`.
_WAIT_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 8.0, 15.0, 30.0, 60.0)


def service_label(service: task_pb2.ServiceType) -> str:
    """`stt`, `vision` or `delivery`."""
    return task_pb2.ServiceType.Name(service).removeprefix("SERVICE_TYPE_").lower()


class UpstreamSeries:
    """Implements UpstreamMetrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.streams = Gauge("gateway_streams", "Media streams being processed", ["service"], registry=registry)
        self._tasks = Counter("gateway_tasks", "Worker calls finished", ["service", "outcome"], registry=registry)
        self._attempts_failed = Counter(
            "gateway_attempts_failed", "Attempts that failed on a worker", ["service", "reason"], registry=registry
        )
        self._retries = Counter(
            "gateway_retries",
            "Further attempts to find a worker, by the reason or gRPC status of the previous failure",
            ["service", "reason"],
            registry=registry,
        )
        self._failovers = Counter(
            "gateway_failovers", "Streams moved to another worker", ["service"], registry=registry
        )
        self._replayed = Counter(
            "gateway_replayed_bytes", "Media sent again, to another worker", ["service"], registry=registry
        )
        self._lost = Counter("gateway_chunks_lost", "Chunks declared lost", ["service"], registry=registry)
        self._admission = Histogram(
            "gateway_admission_seconds",
            "Time to find a worker for a stream that is new, or that moves",
            ["service", "kind"],
            buckets=_WAIT_BUCKETS_S,
            registry=registry,
        )
        self._commit_latency = Histogram(
            "gateway_commit_latency_seconds",
            "Time from the arrival of a chunk to the commit that covers it, the last chunk of each commit",
            ["service", "mode"],
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self._begin_at_zero()
        self.final_latency = Histogram(
            "gateway_final_latency_seconds",
            "Time from the arrival of a live segment's last sound to its final text",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )

    def _begin_at_zero(self) -> None:
        """Make the series that alerts and rates are about: one that begins above zero has neither rate nor increase."""
        for service in SERVICES:
            for counter in (self._failovers, self._replayed, self._lost):
                counter.labels(service)
            for reason in _REASONS:
                self._attempts_failed.labels(service, reason)
                self._retries.labels(service, reason)

    def stream_opened(self, service: task_pb2.ServiceType) -> None:
        """A stream started looking for a worker."""
        self.streams.labels(service_label(service)).inc()

    def stream_admitted(self, service: task_pb2.ServiceType, seconds: float, *, is_failover: bool) -> None:
        """A worker took the stream."""
        name = service_label(service)
        self._admission.labels(name, "failover" if is_failover else "new").observe(seconds)
        if is_failover:
            self._failovers.labels(name).inc()

    def stream_finished(self, service: task_pb2.ServiceType, outcome: str) -> None:
        """A stream is over."""
        self.streams.labels(service_label(service)).dec()
        self._tasks.labels(service_label(service), outcome).inc()

    def attempt_failed(self, service: task_pb2.ServiceType, reason: str) -> None:
        """A worker, or the connection to it, failed while serving a stream."""
        self._attempts_failed.labels(service_label(service), reason).inc()

    def retry(self, service: task_pb2.ServiceType, reason: str) -> None:
        """Another endpoint is tried."""
        self._retries.labels(service_label(service), reason).inc()

    def replayed(self, service: task_pb2.ServiceType, size: int) -> None:
        """Media is sent again."""
        self._replayed.labels(service_label(service)).inc(size)

    def committed(self, service: task_pb2.ServiceType, seconds: float, *, is_file: bool) -> None:
        """A chunk became final."""
        self._commit_latency.labels(service_label(service), "file" if is_file else "live").observe(seconds)

    def attempt_began(self, service: task_pb2.ServiceType, number: int, target: str) -> str | None:
        """Not counted, and not traced."""

    def attempt_admitted(self, service: task_pb2.ServiceType) -> None:
        """Not counted: see `stream_admitted`."""

    def finalised(self, seconds: float, example: dict[str, str] | None = None) -> None:
        """Live speech became final text."""
        self.final_latency.observe(seconds, example)

    def chunks_lost(self, service: task_pb2.ServiceType, count: int) -> None:
        """Chunks were declared lost."""
        self._lost.labels(service_label(service)).inc(count)


class UpstreamCollector(Collector):
    """Looks at the workers and the open streams at every scrape, so that workers that left the settings leave, too."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def describe(self) -> Iterator[Metric]:
        """The metrics without samples, for the registry."""
        yield from (*_worker_gauges(), *_backlog_gauges())

    def collect(self) -> Iterator[Metric]:
        """Called by the library for every reading."""
        serving, ejected, total, used, streams, links = workers = _worker_gauges()
        for service, views in self._upstream.workers().items():
            for view in views:
                labels = [service_label(service), view.address]
                serving.add_metric(labels, float(view.serving))
                ejected.add_metric(labels, float(view.ejected))
                streams.add_metric(labels, view.streams)
                links.add_metric(labels, view.links)
                if view.slots is not None:
                    total.add_metric(labels, view.slots[0])
                    used.add_metric(labels, view.slots[0] - view.slots[1])
        yield from workers
        behind, congested, replay = backlogs = _backlog_gauges()
        for service, backlog in self._upstream.backlogs().items():
            name = [service_label(service)]
            behind.add_metric(name, backlog.behind_ms / 1000)
            congested.add_metric(name, backlog.congested)
            replay.add_metric(name, backlog.replay_bytes)
        yield from backlogs


def _worker_gauges() -> tuple[GaugeMetricFamily, ...]:
    texts = {
        "gateway_worker_serving": "1 while the worker is reachable, loaded and not draining",
        "gateway_worker_ejected": "1 while the worker gets no streams because it failed one",
        "gateway_worker_slots": "Slots of the worker, as it says; absent while it does not answer",
        "gateway_worker_slots_used": "Slots taken at the worker, by the streams of all gateways",
        "gateway_worker_streams": "Streams of this gateway at the worker",
        "gateway_worker_links": "Open links to the worker; at 0, each stream has an RPC of its own",
    }
    return tuple(GaugeMetricFamily(name, text, labels=["service", "worker"]) for name, text in texts.items())


def _backlog_gauges() -> tuple[GaugeMetricFamily, ...]:
    texts = {
        "gateway_stream_behind_seconds": "Age of the oldest media not yet written to a worker, of all open streams",
        "gateway_streams_congested": "Open streams whose client is throttled because they are behind",
        "gateway_replay_buffer_bytes": "Media of open streams kept for another worker",
    }
    return tuple(GaugeMetricFamily(name, text, labels=["service"]) for name, text in texts.items())
