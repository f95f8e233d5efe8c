"""What clients send, counted with every message: as plain numbers, which a scrape reads.

A Counter of the library takes a lock and eight calls to add one. All of this is counted and read on the event loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from talkup.v1 import task_pb2

from gateway.metrics_upstream import service_label

_SERVICES: Final = (
    task_pb2.SERVICE_TYPE_STT,
    task_pb2.SERVICE_TYPE_VISION,
    task_pb2.SERVICE_TYPE_DELIVERY,
)


class Traffic(Collector):
    """Counts the messages of all clients, their bytes, and the chunks that went on to a worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.texts = self.binaries = self.bytes = 0
        self._chunks: Counter[task_pb2.ServiceType] = Counter()
        registry.register(self)

    def chunk_forwarded(self, service: task_pb2.ServiceType) -> None:
        """A chunk went on to a worker stream."""
        self._chunks[service] += 1

    def collect(self) -> Iterator[Metric]:
        """Called by the library for every reading."""
        frames = CounterMetricFamily("gateway_frames", "WebSocket messages received", labels=["kind"])
        frames.add_metric(["text"], self.texts)
        frames.add_metric(["binary"], self.binaries)
        yield frames
        yield CounterMetricFamily("gateway_frame_bytes", "Bytes of WebSocket messages received", self.bytes)
        chunks = CounterMetricFamily("gateway_chunks", "Media chunks forwarded to workers", labels=["service"])
        for service in _SERVICES:
            chunks.add_metric([service_label(service)], self._chunks[service])
        yield chunks
