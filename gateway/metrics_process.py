"""Metrics of the gateway's own process: what it runs on, its memory and CPU, and whether its event loop keeps up."""

from __future__ import annotations

import asyncio
import platform
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, GCCollector, Histogram, ProcessCollector

# 10 ms is a busy loop, 250 ms delays what users see, seconds make workers look hung.
_LAG_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LAG_INTERVAL_S: Final = 0.5


class ProcessSeries:
    """`process_*` and `python_gc_*` of the library, `talkup_build_info`, and the lag of the event loop."""

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        info = Gauge("talkup_build_info", "What runs; always 1", ["component", "version", "python"], registry=registry)
        info.labels("gateway", version, platform.python_version()).set(1)
        self._lag = Histogram(
            "gateway_event_loop_lag_seconds",
            "How late the event loop runs what is due, measured twice a second",
            buckets=_LAG_BUCKETS_S,
            registry=registry,
        )

    async def watch_loop(self) -> None:
        """Measure the lag of the running event loop until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _LAG_INTERVAL_S
            await asyncio.sleep(_LAG_INTERVAL_S)
            self._lag.observe(max(0.0, loop.time() - due))
