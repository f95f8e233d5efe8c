"""An engine that is made while the port is open: to find, check or download its weights may take minutes.

Until then the worker is NOT_SERVING, answers probes, and reacts to SIGTERM: a thread that downloads does not keep the
process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import TypeVar

from talkup.v1 import error_pb2, task_pb2, worker_service_pb2

from workers.capacity import SlotsChange
from workers.engine import Engine, EngineError, EngineSession, StreamContext
from workers.observer import EngineObserver

Result = TypeVar("Result")


class DeferredEngine:
    """See `workers.engine.Engine`. `load` first makes the engine, then loads it, and raises what either raises."""

    def __init__(self, service_type: task_pb2.ServiceType, make: Callable[[], Engine]) -> None:
        self._service_type = service_type
        self._make = make
        self._engine: Engine | None = None
        self._observer: EngineObserver | None = None

    @property
    def service_type(self) -> task_pb2.ServiceType:
        return self._service_type

    async def load(self) -> None:
        """Make the engine in a thread, then load it."""
        if self._engine is None:
            self._engine = await _in_daemon_thread(self._make)
            if self._observer is not None:
                self._engine.observe(self._observer)
        await self._engine.load()

    def observe(self, observer: EngineObserver) -> None:
        """See `workers.engine.Engine.observe`."""
        self._observer = observer

    def describe(self) -> worker_service_pb2.DescribeResponse:
        """See `workers.engine.Engine.describe`. Raises EngineError before `load`."""
        return self._made().describe()

    def open(self, start: task_pb2.StreamStart, context: StreamContext) -> EngineSession:
        """See `workers.engine.Engine.open`. Raises EngineError before `load`."""
        return self._made().open(start, context)

    def default_slots(self) -> int:
        """See `workers.engine.Engine.default_slots`. Raises EngineError before `load`."""
        return self._made().default_slots()

    async def review(self) -> SlotsChange | None:
        """See `workers.engine.Engine.review`."""
        return None if self._engine is None else await self._engine.review()

    def totals(self) -> Mapping[str, float]:
        """See `workers.engine.Engine.totals`."""
        return {} if self._engine is None else self._engine.totals()

    async def close(self) -> None:
        """Close the engine, if there is one yet."""
        if self._engine is not None:
            await self._engine.close()

    def _made(self) -> Engine:
        if self._engine is None:
            raise EngineError(error_pb2.ERROR_CODE_BUSY, "the model is not loaded yet", retryable=True)
        return self._engine


async def _in_daemon_thread(work: Callable[[], Result]) -> Result:
    """`work()` in a thread that the end of the process does not wait for, as it does for those of `to_thread`."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 (the edge of a thread: the caller gets it)
            report(future.set_exception, error)
        else:
            report(future.set_result, result)

    def report(settle: Callable[..., None], value: object) -> None:
        def settle_once() -> None:
            if not future.done():
                settle(value)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle_once)

    threading.Thread(target=run, name="engine", daemon=True).start()
    return await future
