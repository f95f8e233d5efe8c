"""Lets the slots of a serving worker follow what its engine measures, and says so in the log and the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from workers.capacity import SlotsChange
from workers.engine import Engine
from workers.metrics import WorkerMetrics

_log = structlog.get_logger()

INTERVAL: Final = 1.0


async def follow(engine: Engine, resize: Callable[[int], None], metrics: WorkerMetrics) -> None:
    """Review the engine every second until cancelled. `resize` sets the slots."""
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            change = await engine.review()
        except Exception as error:  # noqa: BLE001 (the edge of a task: streams go on with the slots that there are)
            _log.error("slots not reviewed", error=type(error).__name__)
            continue
        if change is not None:
            resize(change.slots)
            metrics.slots_changed(change)
            _report(change)


def _report(change: SlotsChange) -> None:
    _log.info(
        "slots changed",
        slots=change.slots,
        before=change.before,
        measured=change.source.value,
        step_ms=round(1000 * change.cost, 1),
        step_ms_before=round(1000 * change.cost_before, 1),
    )
