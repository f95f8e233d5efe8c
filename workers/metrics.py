"""Prometheus metrics of a worker, and the port they are read from. The only door to prometheus_client here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from talkup.v1 import task_pb2

from workers.stream import StreamNumbers

_SECONDS = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200)


class WorkerMetrics:
    """The numbers of one worker process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        reg = self.registry
        self._slots_total = Gauge("talkup_worker_slots", "Streams this worker admits", registry=reg)
        self._slots_free = Gauge("talkup_worker_slots_free", "Slots not taken", registry=reg)
        self._serving = Gauge("talkup_worker_serving", "1 while the model is loaded and not draining", registry=reg)
        self._streams = Counter("talkup_worker_streams", "Streams ended, by outcome", ["outcome"], registry=reg)
        self._errors = Counter("talkup_worker_stream_errors", "Fatal errors, by code", ["code"], registry=reg)
        self._refused = Counter("talkup_worker_refused", "Calls refused, by code", ["code"], registry=reg)
        self._chunks = Counter("talkup_worker_chunks", "Chunks received", registry=reg)
        self._bytes = Counter("talkup_worker_media_bytes", "Media bytes received", registry=reg)
        self._finals = Counter("talkup_worker_finals", "Final segments sent", registry=reg)
        self._seconds = Histogram("talkup_worker_stream_seconds", "Life of a stream", buckets=_SECONDS, registry=reg)

    def watch_engine(self, totals: Callable[[], Mapping[str, float]]) -> None:
        """Show an engine's totals whenever the metrics are read."""
        self.registry.register(_EngineTotals(totals))

    def slots(self, slots: task_pb2.Slots) -> None:
        """Note how many slots there are and are free."""
        self._slots_total.set(slots.total)
        self._slots_free.set(slots.free)

    def serving(self, serving: bool) -> None:
        """Note whether new streams are accepted."""
        self._serving.set(int(serving))

    def refused(self, code: str) -> None:
        """Count a call that ended with a status. `code` is the name of an ErrorCode."""
        self._refused.labels(code).inc()

    def stream_ended(self, numbers: StreamNumbers, seconds: float, exemplar: dict[str, str] | None = None) -> None:
        """Add a stream's numbers when it is over; `exemplar` names its trace."""
        self._streams.labels(numbers.outcome.value).inc()
        if numbers.error_code is not None:
            self._errors.labels(numbers.error_code).inc()
        self._chunks.inc(numbers.chunks)
        self._bytes.inc(numbers.bytes)
        self._finals.inc(numbers.finals)
        self._seconds.observe(seconds, exemplar)


class _EngineTotals(Collector):
    """`talkup_worker_engine_total{what}`: an engine's own counts and seconds."""

    def __init__(self, totals: Callable[[], Mapping[str, float]]) -> None:
        self._totals = totals

    def collect(self) -> Iterable[Metric]:
        """Called by the library for every reading."""
        family = CounterMetricFamily("talkup_worker_engine", "Work done, by kind; seconds or counts", labels=["what"])
        for what, value in self._totals().items():
            family.add_metric([what], value)
        yield family


class MetricsPort:
    """Serves the registry over HTTP, in a thread of the library's own, until closed."""

    def __init__(self, metrics: WorkerMetrics, host: str, port: int) -> None:
        """Listen at once. Raises OSError when the port cannot be bound."""
        self._server, self._thread = start_http_server(port, addr=host, registry=metrics.registry)

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2)
