"""Metrics of the store: how long it takes, what waits for it, and what it lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# A write to SQLite takes 0.1 ms and a round trip to Redis 1 ms; the last bounds are the store's own time-outs.
_BUCKETS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class StoreSeries:
    """Implements StoreObserver of `gateway.store.observed`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "gateway_store_operation_seconds",
            "Time from the request to the store's answer, for a write its confirmation",
            ["operation"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._backlog = Gauge("gateway_store_pending_writes", "Writes that the store has not done", registry=registry)
        self.failures = Counter(
            "gateway_store_failures", "Writes that the transcript store did not confirm in time", registry=registry
        )
        self.sessions_forgotten = Counter(
            "gateway_store_sessions_forgotten",
            "Sessions that Redis lost and that were entered again",
            registry=registry,
        )
        self.finals_forgotten = Counter(
            "gateway_store_finals_forgotten", "Finals that were lost with these sessions", registry=registry
        )
        self.analyses_dropped = Counter(
            "gateway_store_analyses_dropped",
            "Windows and events of an analysis that were not kept because their stream has too many",
            registry=registry,
        )
        self.renewals_skipped = Counter(
            "gateway_store_renewals_skipped", "Sessions whose retention was not renewed in a round", registry=registry
        )
        self.sweeps_failed = Counter(
            "gateway_store_sweeps_failed", "Rounds that could not delete old transcripts", registry=registry
        )

    def answered(self, operation: str, seconds: float) -> None:
        """An operation is over, done or failed."""
        self._seconds.labels(operation).observe(seconds)

    def watch_backlog(self, backlog: Callable[[], float]) -> None:
        """Read the number of writes that wait from `backlog` at every scrape."""
        self._backlog.set_function(backlog)
