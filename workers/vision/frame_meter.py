"""Measures what a frame costs while the worker runs: each frame of a stream, and the benchmark where nothing runs.

A frame's CPU time depends on what is in it, so only its *stretch* is taken from it: how many seconds passed for one of
CPU time on its thread. A machine that is busy with other work stretches every frame.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from workers.capacity import Capacity, MeasuringTimes, SlotsChange, undisturbed

Result = TypeVar("Result")

USABLE_LOAD: Final = 0.75
"""Part of the threads' time that analysis may take; the rest is for decoders and transport."""
_MOST_TAKEN: Final = 4096
"""Frames between two reviews; more than a second's."""
_LEAST_CPU: Final = 0.001
"""Seconds of CPU below which a frame was not analysed, or too quickly to tell a stretch."""


class FrameMeter:
    """The capacity of one engine. `run` is called from the threads of analysis, everything else from one task.

    `cost`: CPU seconds of a frame. `cores`: the CPU time per second that the threads can use.
    """

    def __init__(self, cost: float, threads: int, cores: float, fps: int) -> None:
        self._cpu_cost = cost
        self._threads = threads
        self._cores = min(threads, cores)
        self._fps = fps
        self._taken: deque[tuple[float, float, float]] = deque(maxlen=_MOST_TAKEN)
        self._reviewed_at = time.monotonic()
        self._times = MeasuringTimes(self._reviewed_at)
        self.capacity = Capacity(self._streams, cost)

    def run(self, work: Callable[[], Result]) -> Result:
        """`work()`, timed."""
        began, cpu_before = time.monotonic(), time.thread_time()
        result = work()
        self._taken.append((time.monotonic(), time.monotonic() - began, time.thread_time() - cpu_before))
        return result

    def measurement_due(self) -> bool:
        """Whether to measure, if the worker is idle; if so, the time until the next measurement begins."""
        now = time.monotonic()
        due = self._times.due(now)
        if due:
            self._times.began(now)
        return due

    def measured(self, frames: Sequence[tuple[float, float]]) -> None:
        """Record the benchmark's frame on each thread of an idle worker, all at once: its CPU seconds, its seconds."""
        cpu = min(cpu for cpu, _ in frames)
        stretch = max(1.0, sum(seconds for _, seconds in frames) / sum(cpu for cpu, _ in frames))
        cost = undisturbed(cpu * stretch, cpu, self._threads / self._cores)
        before, _ = self.capacity.cost(time.monotonic())
        self._times.found(cost, before)
        self._cpu_cost = cpu
        self._taken.clear()
        self.capacity.add_measurement(cost)

    def review(self) -> SlotsChange | None:
        """See `Capacity.review`. What the slots leave to decoders and transport is not counted as a stretch again."""
        now = time.monotonic()
        taken = [self._taken.popleft() for _ in range(len(self._taken))]
        since, self._reviewed_at = now - self._reviewed_at, now
        load = min(1.0, sum(seconds for _, seconds, _ in taken) / max(1e-3, self._threads * since))
        own = 1 + (1 / USABLE_LOAD - 1) * load
        for ended, seconds, cpu in taken:
            if cpu >= _LEAST_CPU:
                self.capacity.add_step(self._cpu_cost * max(1.0, seconds / cpu / own), ended)
        return self.capacity.review(now)

    def _streams(self, cost: float) -> float:
        """Streams that fit where a frame takes `cost` seconds: by the threads' time, and by the CPU time of a quota."""
        by_threads = self._threads / cost
        return USABLE_LOAD * min(by_threads, self._cores / min(cost, self._cpu_cost)) / self._fps
