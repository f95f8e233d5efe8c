"""Frames of all streams to a few threads: one set of networks per thread, streams in turn.

A stream waits for its turn before it takes a frame, so what it takes then is its newest one, however long the wait
was: with many streams a result is as old as its frame's way through the networks, and at most one interval of its
source more. A stream has one frame here at a time, so the order of arrival is a round robin over streams.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from tracing.spans import current_span
from workers.observer import NO_OBSERVER, EngineObserver
from workers.vision.face_reader import FaceNets
from workers.vision.frame_meter import FrameMeter

Result = TypeVar("Result")

_log = structlog.get_logger()


class Runner:
    """Runs work on nets; `cost_ms` is the mean of the last frames' CPU-bound time."""

    def __init__(
        self,
        nets: list[FaceNets],
        nice: int = 0,
        *,
        cores: float = math.inf,
        meter: FrameMeter | None = None,
        observer: EngineObserver = NO_OBSERVER,
    ) -> None:
        """`nice`: how far the threads give way to the rest of the machine, this worker's decoders included.

        `cores`: CPU seconds per second that they can use at most. `meter` times the work.
        """
        self._meter = meter
        self._threads = len(nets)
        self._free: asyncio.Queue[FaceNets] = asyncio.Queue()
        for one in nets:
            self._free.put_nowait(one)
        self._cores = min(len(nets), cores)
        self._pool = ThreadPoolExecutor(len(nets), thread_name_prefix="vision", initializer=give_way, initargs=(nice,))
        self.cost_ms = 0.0
        self.streams = 0
        self._observer = observer
        self._waiting = 0
        observer.watch_queue(lambda: self._waiting)

    async def acquire(self) -> FaceNets:
        """One's turn: a set of networks, to be passed to `run` or to `release`."""
        began = time.monotonic()
        self._waiting += 1
        try:
            return await self._free.get()
        finally:
            self._waiting -= 1
            self._observer.waited("frame", time.monotonic() - began)

    def release(self, nets: FaceNets) -> None:
        """Give back a turn that was not needed."""
        self._free.put_nowait(nets)

    async def run(self, nets: FaceNets, work: Callable[[FaceNets], Result]) -> Result:
        """The result of `work` with networks acquired before; they are free again when it is done, read or not."""
        job = partial(work, nets) if self._meter is None else partial(self._meter.run, partial(work, nets))
        running = asyncio.get_running_loop().run_in_executor(self._pool, job)
        span = current_span().step("worker.step", rank="frame")
        running.add_done_callback(lambda _: self.release(nets))
        running.add_done_callback(lambda _: span.end())
        return await asyncio.shield(running)

    async def on_all(self, work: Callable[[FaceNets], Result]) -> list[Result] | None:
        """The results of `work` on every set of networks at once; None, and nothing is done, while any is in use."""
        if self._free.qsize() < self._threads:
            return None
        nets = [self._free.get_nowait() for _ in range(self._threads)]
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.gather(*(loop.run_in_executor(self._pool, work, one) for one in nets))
        finally:
            for one in nets:
                self.release(one)

    def note(self, cost_ms: float) -> None:
        """Record how long a frame took."""
        self._observer.worked("frame", cost_ms / 1000)
        self.cost_ms = cost_ms if not self.cost_ms else 0.9 * self.cost_ms + 0.1 * cost_ms

    def fps_per_stream(self, usable: float = 0.8) -> int:
        """Frames per second available to each current stream."""
        if not self.cost_ms:
            return 15
        return max(1, min(30, int(usable * self._cores * 1000 / (self.cost_ms * max(1, self.streams)))))

    async def close(self) -> None:
        """Wait for the frames under way."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)


def session_gives_way(nice: int, autogroup: Path = Path("/proc/self/autogroup")) -> None:
    """Lower a session of this process's own too, as `make run` gives each of its processes.

    Where Linux shares the processor out by session first (sched(7), autogroup), a nice counts only inside of one.
    """
    if not nice or not hasattr(os, "getsid") or os.getsid(0) != os.getpid():
        return
    try:
        autogroup.write_text(str(nice), encoding="ascii")
    except OSError as error:  # this system has no such grouping, or we may not change it
        _log.debug("the session keeps its priority", errno=error.errno)


def give_way(nice: int) -> None:
    """Lower this thread's share of the processor where others want it: on Linux a thread has a nice of its own."""
    if not nice or not hasattr(os, "setpriority"):
        return
    thread = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))
    except OSError as error:  # elsewhere thread ids are not process ids
        _log.info("analysis keeps its priority", errno=error.errno)
