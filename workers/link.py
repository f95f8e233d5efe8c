"""A link: many calls of StreamTask in one RPC. Each is served by a task of its own, as if it had come alone.

The link's reader never waits for a call: what a call has not taken yet is bounded by its credit. So a stream that
stalls holds up no other one. It waits for the gateway: one that opens calls and reads no answers is read no further.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from talkup.v1 import error_pb2, link_pb2, task_pb2

from multiplex.outbox import ENTRY_OVERHEAD
from multiplex.writer import BatchWriter
from workers.engine import EngineError
from workers.errors import RefusedError
from workers.link_calls import CallState, LinkCalls
from workers.requests import parse_request


class LinkPlaces:
    """The places for calls of all links of a worker."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._taken = 0

    def take(self) -> bool:
        """Count a call; returns whether there was a place for it. If not, it must be refused."""
        self._taken += 1
        return self._taken <= self._total

    def leave(self) -> None:
        """A call is over, whether it had a place or not."""
        self._taken -= 1


class Link:
    """One link. `run` serves it to its end."""

    def __init__(
        self,
        serve: Serve,
        places: LinkPlaces,
        max_batch_bytes: int,
        write: Callable[[link_pb2.TaskResultBatch], Awaitable[None]],
    ) -> None:
        """`write` sends a batch and waits for HTTP/2 flow control."""
        self._serve = serve
        self._places = places
        self._max_batch_bytes = max_batch_bytes
        self._write = write
        self._calls = LinkCalls(max_batch_bytes)
        self._writer = BatchWriter(self._calls.outbox, self._write_batch)
        self._tasks: dict[asyncio.Task[None], CallState] = {}

    async def run(self, batches: AsyncIterator[link_pb2.TaskBatch]) -> None:
        """Serve the calls until the gateway ends the link. Raises RefusedError for a breach of its rules."""
        parts = [asyncio.create_task(self._read(batches)), asyncio.create_task(self._writer.run())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        finally:
            for part in parts:
                part.cancel()
            for state in self._tasks.values():
                state.cancel()
            await asyncio.gather(*parts, *self._tasks, return_exceptions=True)

    async def _write_batch(self, entries: list[link_pb2.TaskResultEntry]) -> None:
        await self._write(link_pb2.TaskResultBatch(entries=entries))

    async def _read(self, batches: AsyncIterator[link_pb2.TaskBatch]) -> None:
        async for batch in batches:
            for state in self._calls.receive(batch):
                self._begin(state)
            self._writer.wake()
            while self._calls.outbox.overfull:
                await self._writer.when_writable()

    def _begin(self, state: CallState) -> None:
        task = asyncio.create_task(self._run_call(state, has_place=self._places.take()))
        self._tasks[task] = state
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task is over, also one that was cancelled before it began."""
        self._places.leave()
        state = self._tasks.pop(task)
        failure = None if task.cancelled() else task.exception()
        if failure is None or isinstance(failure, EngineError):
            self._calls.close(state, failure)
        else:
            self._calls.close(state, RefusedError(error_pb2.ERROR_CODE_INTERNAL, "the worker failed"))
        self._writer.wake()

    async def _run_call(self, state: CallState, *, has_place: bool) -> None:
        call = LinkedCall(self._calls, self._writer, state, self._max_batch_bytes)
        call.has_place = has_place
        task = asyncio.current_task()
        assert task is not None
        call.on_cancel = task.cancel
        state.changed = call.look
        call.look()
        try:
            async with asyncio.timeout(call.time_remaining()):
                await self._serve(call)
        except TimeoutError:
            raise RefusedError(error_pb2.ERROR_CODE_DEADLINE_EXCEEDED, "the caller's deadline has passed") from None


class LinkedCall:
    """One call of a link, as the servicer sees it. Without a place (`has_place`) it must be refused."""

    def __init__(
        self,
        calls: LinkCalls,
        writer: BatchWriter[link_pb2.TaskResultEntry],
        state: CallState,
        max_batch_bytes: int,
    ) -> None:
        self.on_cancel: Callable[[], object] = _ignore
        self.has_place = True
        self._calls = calls
        self._writer = writer
        self._state = state
        self._max_bytes = max_batch_bytes - ENTRY_OVERHEAD
        timeout_ms = state.timeout_ms
        self._deadline = asyncio.get_running_loop().time() + timeout_ms / 1000 if timeout_ms else None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    @property
    def traceparent(self) -> str | None:
        """The caller's trace context, if it sent one."""
        return self._state.traceparent or None

    @property
    def requests(self) -> AsyncIterator[task_pb2.TaskRequest]:
        """The caller's messages. Raises RefusedError for one that cannot be parsed, or is not worth it."""
        return self._requests()

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: it has none."""
        return None if self._deadline is None else max(0.0, self._deadline - asyncio.get_running_loop().time())

    async def write(self, result: task_pb2.TaskResult) -> None:
        """Send a result; waits for the caller's credit and for the link."""
        data = result.SerializeToString()
        if len(data) > self._max_bytes:
            raise RefusedError(error_pb2.ERROR_CODE_INTERNAL, "a result is larger than a message may be")
        while not self._state.sent.open:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
        while self._calls.outbox.full:
            await self._writer.when_writable()
        self._calls.result(self._state, data)
        self._writer.wake()

    def look(self) -> None:
        """Something came for the call: wake who waits for it."""
        if self._state.cancelled:
            self.on_cancel()
        for waiting in (self._readable, self._writable):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    async def _requests(self) -> AsyncIterator[task_pb2.TaskRequest]:
        while True:
            request = self._calls.take_request(self._state)
            if request is not None:
                self._writer.wake()
                yield parse_request(request)
            elif self._state.half_closed:
                return
            else:
                self._readable = asyncio.get_running_loop().create_future()
                await self._readable


Serve = Callable[[LinkedCall], Awaitable[None]]
"""Serves a call to its end. Raises EngineError where an RPC would end with that status."""


def _ignore() -> None:
    """Until the call is served."""
