"""Frames of all streams to a few threads: one set of networks a thread, streams in turn.

A stream has at most one frame here, so the order of arrival is a round robin over streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from workers.vision.face_reader import FaceNets

Result = TypeVar("Result")


class Runner:
    """Runs work on nets; `cost_ms` is the mean of the last frames' CPU-bound time."""

    def __init__(self, nets: list[FaceNets]) -> None:
        self._free: asyncio.Queue[FaceNets] = asyncio.Queue()
        for one in nets:
            self._free.put_nowait(one)
        self._threads = len(nets)
        self._pool = ThreadPoolExecutor(len(nets), thread_name_prefix="vision")
        self.cost_ms = 0.0
        self.streams = 0

    async def run(self, work: Callable[[FaceNets], Result]) -> Result:
        """The result of `work` with a set of networks that nobody else has meanwhile."""
        nets = await self._free.get()
        running = asyncio.get_running_loop().run_in_executor(self._pool, work, nets)
        running.add_done_callback(lambda _: self._free.put_nowait(nets))
        return await asyncio.shield(running)

    def note(self, cost_ms: float) -> None:
        """A frame took so long."""
        self.cost_ms = cost_ms if not self.cost_ms else 0.9 * self.cost_ms + 0.1 * cost_ms

    def fps_per_stream(self, usable: float = 0.8) -> int:
        """Frames a second that each of the present streams can have."""
        if not self.cost_ms:
            return 15
        return max(1, min(30, int(usable * self._threads * 1000 / (self.cost_ms * max(1, self.streams)))))

    async def close(self) -> None:
        """Wait for the frames under way."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
