"""Shared by the scenarios of bench/gateway: figures, and the memory growth of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Self

from bench.harness.actions import footprint
from bench.harness.speaker import Heard
from bench.harness.stack import Program

Figures = dict[str, Any]
MIB = 1024 * 1024


def words(heard: Iterable[Heard]) -> Figures:
    """Words lost and doubled over all streams."""
    every = list(heard)
    losses = [each.losses() for each in every]
    return {
        "streams": len(every),
        "words": sum(len(each.words) for each in every),
        "words_lost": sum(lost for lost, _ in losses),
        "words_doubled": sum(doubled for _, doubled in losses),
        "errors": sorted({error.code for each in every for error in each.errors}),
    }


def rounded(seconds: float) -> float:
    return round(seconds, 3)


class Memory:
    """How much a process grows inside the block, sampled twice per second."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._before = self._peak = footprint(program).rss
        self._task: asyncio.Task[None] | None = None

    @property
    def growth_mib(self) -> float:
        return rounded((self._peak - self._before) / MIB)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            self._peak = max(self._peak, footprint(self._program).rss)
            await asyncio.sleep(0.5)


def slope(samples: list[tuple[float, int]]) -> float:
    """Least squares, bytes per second; 0 of fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (y - mean_y) for t, y in samples) / spread
