"""A link: many calls to one worker in one RPC. One task writes batches, another one reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import DecodeError
from talkup.v1 import link_pb2, task_pb2

from gateway.upstream.event import Event
from gateway.upstream.failures import CallFailed, CallOver
from gateway.upstream.link_calls import CallState, LinkBreachError, LinkCalls


class BatchStream(Protocol):
    """The RPC that carries a link."""

    async def write(self, batch: link_pb2.TaskBatch) -> None:
        """Send a batch. Raises CallOver."""
        ...

    async def read(self) -> link_pb2.TaskResultBatch | None:
        """The next batch. Raises CallFailed."""
        ...

    def cancel(self) -> None:
        """Drop the RPC."""
        ...


class WorkerLink:
    """One link. Create it inside a running event loop."""

    def __init__(self, stream: BatchStream, max_batch_bytes: int, linger: float = 0.0) -> None:
        self._stream = stream
        self._linger = linger
        self.calls = LinkCalls(max_batch_bytes)
        self.failure: CallFailed | None = None
        self.unsent = Event()
        self._states: set[CallState] = set()
        self._blocked: list[Callable[[], None]] = []
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    def open(self, request: bytes, timeout_ms: int, traceparent: str | None) -> CallState:
        state = self.calls.open(request, timeout_ms, traceparent)
        self._states.add(state)
        self.unsent.set()
        return state

    def forget(self, state: CallState) -> None:
        self.calls.cancel(state)
        self._states.discard(state)
        self.unsent.set()

    def wake_when_writable(self, wake: Callable[[], None]) -> None:
        self._blocked.append(wake)

    async def _write(self) -> None:
        outbox, unsent = self.calls.outbox, self.unsent
        last = 0.0
        try:
            while True:
                await unsent.wait()
                unsent.clear()
                while outbox:
                    if self._linger:
                        loop = asyncio.get_running_loop()
                        wait = last + self._linger - loop.time()
                        if wait > 0:
                            await asyncio.sleep(wait)
                        last = loop.time()
                    await self._stream.write(link_pb2.TaskBatch(entries=outbox.take()))
                    if self._blocked and not outbox.full:
                        blocked, self._blocked = self._blocked, []
                        for wake in blocked:
                            wake()
        except CallOver:
            return

    async def _read(self) -> None:
        try:
            while (batch := await self._stream.read()) is not None:
                for entry in batch.entries:
                    self.calls.receive(entry)
            self._over(CallFailed("UNAVAILABLE", transport_reset=True))
        except CallFailed as failure:
            self._over(failure)
        except LinkBreachError:
            self._over(CallFailed("INTERNAL", transport_reset=True))

    def _over(self, failure: CallFailed) -> None:
        self.failure = failure
        self._stream.cancel()
        self._tasks[0].cancel()
        for state in self._states:
            state.wake()


class LinkCall:
    """One call of a link, used like a TaskCall."""

    def __init__(self, link: WorkerLink, deadline: float, traceparent: str | None) -> None:
        self._link = link
        self._timeout_ms = int(deadline * 1000)
        self._traceparent = traceparent
        self._state: CallState | None = None
        self._opened = asyncio.Event()
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._is_cancelled = False

    def _wake(self) -> None:
        for waiter in (self._readable, self._writable):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    async def write(self, request: task_pb2.TaskRequest) -> None:
        data = request.SerializeToString()
        link, state = self._link, self._state
        if link.failure is not None or self._is_cancelled:
            raise CallOver
        if state is None:
            self._state = link.open(data, self._timeout_ms, self._traceparent)
            self._state.wake = self._wake
            return
        while not link.calls.may_send(state):
            if state.closed is not None:
                raise CallOver
            self._writable = asyncio.get_running_loop().create_future()
            if state.credit.open:
                link.wake_when_writable(self._wake)
            await self._writable
            if link.failure is not None or self._is_cancelled:
                raise CallOver
        if state.closed is not None:
            raise CallOver
        link.calls.request(state, data)
        link.unsent.set()

    async def done_writing(self) -> None:
        if self._state is None or self._state.closed is not None or self._link.failure is not None:
            raise CallOver
        self._link.calls.half_close(self._state)
        self._link.unsent.set()

    async def read(self) -> task_pb2.TaskResult | None:
        link, state = self._link, self._state
        assert state is not None
        while True:
            result = link.calls.take_result(state)
            if result is not None:
                if link.calls.outbox:
                    link.unsent.set()
                try:
                    return task_pb2.TaskResult.FromString(result)
                except DecodeError:
                    raise CallFailed("INTERNAL") from None
            if state.closed is not None:
                if state.closed.status_code == 0:
                    return None
                raise CallFailed(_STATUS[state.closed.status_code], error=state.closed.error)
            if link.failure is not None:
                raise link.failure
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable

    def cancel(self) -> None:
        if not self._is_cancelled:
            self._is_cancelled = True
            if self._state is not None:
                self._link.forget(self._state)
            self._wake()


_STATUS = {8: "RESOURCE_EXHAUSTED", 3: "INVALID_ARGUMENT", 14: "UNAVAILABLE", 9: "FAILED_PRECONDITION", 13: "INTERNAL"}
