"""Prometheus metrics of a worker, and the port they are read from. The only door to prometheus_client here."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from talkup.v1 import task_pb2

from settings.version import VERSION
from workers.capacity import SlotsChange
from workers.observer import ENDINGS
from workers.stream import Outcome, StreamNumbers

# Prometheus needs no second series per counter that says when it began.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS: Final = (1, 5, 15, 60, 300, 900, 1800, 3600, 7200)
# The usual ones.
_REFUSALS: Final = ("BUSY", "NO_WORKER", "UNAUTHENTICATED", "PERMISSION_DENIED", "BAD_MESSAGE", "DEADLINE_EXCEEDED")
# A step of live speech takes a tenth of a second on an idle core, a window of a recording some seconds, a face 10 ms.
_STEP_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 30.0)


class WorkerMetrics:
    """The numbers of one worker process, in a registry of its own. It also implements EngineObserver."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        reg = self.registry
        self._slots_total = Gauge("talkup_worker_slots", "Streams this worker admits", registry=reg)
        self._slots_free = Gauge("talkup_worker_slots_free", "Slots not taken", registry=reg)
        self._slot_changes = Counter(
            "talkup_worker_slot_changes", "Times that slots followed a measurement", ["direction"], registry=reg
        )
        self._step_cost = Gauge(
            "talkup_worker_step_cost_seconds",
            "Time of a thread for a step, when slots last changed; 0: they never did",
            registry=reg,
        )
        self._slots_used = Gauge("talkup_worker_slots_used", "Slots taken", registry=reg)
        self._serving = Gauge("talkup_worker_serving", "1 while the model is loaded and not draining", registry=reg)
        self._streams = Counter("talkup_worker_streams", "Streams ended, by outcome", ["outcome"], registry=reg)
        self._errors = Counter("talkup_worker_stream_errors", "Fatal errors, by code", ["code"], registry=reg)
        self._refused = Counter("talkup_worker_refused", "Calls refused, by code", ["code"], registry=reg)
        for outcome in Outcome:  # a series that begins above zero has neither rate nor increase
            self._streams.labels(outcome)
        for code in _REFUSALS:
            self._refused.labels(f"ERROR_CODE_{code}")
        self._chunks = Counter("talkup_worker_chunks", "Chunks received", registry=reg)
        self._bytes = Counter("talkup_worker_media_bytes", "Media bytes received", registry=reg)
        self._finals = Counter("talkup_worker_finals", "Final segments sent", registry=reg)
        self._seconds = Histogram("talkup_worker_stream_seconds", "Life of a stream", buckets=_SECONDS, registry=reg)
        self._make_engine_metrics()
        ProcessCollector(registry=reg)
        GCCollector(registry=reg)
        info = Gauge("talkup_build_info", "What runs; always 1", ["component", "version", "python"], registry=reg)
        info.labels("worker", VERSION, platform.python_version()).set(1)

    def _make_engine_metrics(self) -> None:
        reg = self.registry
        self._queue = Gauge("talkup_worker_queue_jobs", "Jobs of all streams that wait for the model", registry=reg)
        self._worked = Histogram(
            "talkup_worker_step_seconds", "Time of a model step", ["kind"], buckets=_STEP_SECONDS, registry=reg
        )
        self._waited = Histogram(
            "talkup_worker_step_wait_seconds",
            "Time that a job waits for the model",
            ["kind"],
            buckets=_STEP_SECONDS,
            registry=reg,
        )
        self._late = Histogram(
            "talkup_worker_behind_seconds",
            "How late a live stream's hypotheses are, steps that commit; 0: in time",
            buckets=_STEP_SECONDS,
            registry=reg,
        )
        self._decoder_deaths = Counter(
            "talkup_worker_decoder_deaths",
            "Decoder processes that ended and were replaced, by how they ended",
            ["ending"],
            registry=reg,
        )
        for ending in ENDINGS:
            self._decoder_deaths.labels(ending)
        labels = ["service", "model", "device", "compute_type"]
        self._model = Gauge("talkup_worker_model_info", "A model that is loaded; always 1", labels, registry=reg)

    def loaded(self, service: task_pb2.ServiceType, models: Iterable[task_pb2.ModelInfo]) -> None:
        """Name the models that the engine has loaded."""
        name = task_pb2.ServiceType.Name(service).removeprefix("SERVICE_TYPE_").lower()
        for model in models:
            self._model.labels(name, model.name, model.device, model.compute_type).set(1)

    def waited(self, kind: str, seconds: float) -> None:
        """See EngineObserver."""
        self._waited.labels(kind).observe(seconds)

    def worked(self, kind: str, seconds: float) -> None:
        """See EngineObserver."""
        self._worked.labels(kind).observe(seconds)

    def late(self, seconds: float) -> None:
        """See EngineObserver."""
        self._late.observe(max(0.0, seconds))

    def decoder_ended(self, ending: str) -> None:
        """See EngineObserver."""
        self._decoder_deaths.labels(ending).inc()

    def watch_queue(self, length: Callable[[], float]) -> None:
        """See EngineObserver."""
        self._queue.set_function(length)

    def watch_engine(self, totals: Callable[[], Mapping[str, float]]) -> None:
        """Show an engine's totals whenever the metrics are read."""
        self.registry.register(_EngineTotals(totals))

    def slots(self, slots: task_pb2.Slots) -> None:
        """Note how many slots there are and are free."""
        self._slots_total.set(slots.total)
        self._slots_free.set(slots.free)
        self._slots_used.set(slots.total - slots.free)

    def slots_changed(self, change: SlotsChange) -> None:
        """Count a change of the slots; `slots` gives their number."""
        self._slot_changes.labels("up" if change.slots > change.before else "down").inc()
        self._step_cost.set(change.cost)

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
