"""The worker's end of a link by the plainest means: one entry a batch, credit back as soon as a request is taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from talkup.v1 import error_pb2, link_pb2, task_pb2

CREDIT = 65_536
MESSAGE_COST = 64


class AbortedError(Exception):
    """The call ended with a status."""

    def __init__(self, closed: link_pb2.CallClosed) -> None:
        super().__init__(closed.status_code)
        self.closed = closed


class LinkedContext:
    """What StreamTask finds in its context."""

    def __init__(self, metadata: Any, opening: link_pb2.CallOpen) -> None:
        trace = (("traceparent", opening.traceparent),) if opening.traceparent else ()
        self._metadata = (*metadata, *trace)

    def invocation_metadata(self) -> Any:
        return self._metadata

    async def abort(self, status: grpc.StatusCode, details: str = "", trailing: Any = ()) -> None:
        errors = [error_pb2.Error.FromString(value) for key, value in trailing if key == "talkup-error-bin"]
        raise AbortedError(link_pb2.CallClosed(status_code=status.value[0], error=errors[0] if errors else None))


class _Call:
    def __init__(self) -> None:
        self.requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.credit = CREDIT
        self.granted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class LinkServer:
    """Serves the calls of one link with `stream_task`, a generator like StreamTask's."""

    def __init__(
        self,
        stream_task: Callable[[Any, Any], AsyncIterator[task_pb2.TaskResult]],
        write: Callable[[link_pb2.TaskResultBatch], Awaitable[None]],
        metadata: Any,
    ) -> None:
        self._stream_task = stream_task
        self._write = write
        self._metadata = metadata
        self._calls: dict[int, _Call] = {}
        self._writing = asyncio.Lock()

    async def run(self, batches: AsyncIterator[link_pb2.TaskBatch]) -> None:
        async with asyncio.TaskGroup() as group:
            async for batch in batches:
                for entry in batch.entries:
                    self._receive(entry, group)

    def _receive(self, entry: link_pb2.TaskEntry, group: asyncio.TaskGroup) -> None:
        kind = entry.WhichOneof("entry")
        if kind == "open":
            call = self._calls[entry.call] = _Call()
            call.requests.put_nowait(entry.open.request)
            call.task = group.create_task(self._serve(entry.call, call, entry.open))
            return
        found = self._calls.get(entry.call)
        if found is None:
            return
        match kind:
            case "request":
                found.requests.put_nowait(entry.request)
            case "half_close":
                found.requests.put_nowait(None)
            case "credit":
                found.credit += entry.credit
                found.granted.set()
            case "cancel":
                assert found.task is not None
                found.task.cancel()

    async def _serve(self, number: int, call: _Call, opening: link_pb2.CallOpen) -> None:
        closed = link_pb2.CallClosed()
        try:
            async for result in self._stream_task(self._requests(number, call), LinkedContext(self._metadata, opening)):
                data = result.SerializeToString()
                while call.credit <= 0:
                    call.granted.clear()
                    await call.granted.wait()
                call.credit -= len(data) + MESSAGE_COST
                await self._send(link_pb2.TaskResultEntry(call=number, result=data))
        except AbortedError as aborted:
            closed = aborted.closed
        finally:
            del self._calls[number]
        await self._send(link_pb2.TaskResultEntry(call=number, closed=closed))

    async def _requests(self, number: int, call: _Call) -> AsyncIterator[task_pb2.TaskRequest]:
        while (data := await call.requests.get()) is not None:
            await self._send(link_pb2.TaskResultEntry(call=number, credit=len(data) + MESSAGE_COST))
            yield task_pb2.TaskRequest.FromString(data)

    async def _send(self, entry: link_pb2.TaskResultEntry) -> None:
        # A write that is cancelled halfway makes the next one fail, and with it the RPC of all calls.
        await asyncio.shield(self._write_alone(link_pb2.TaskResultBatch(entries=[entry])))

    async def _write_alone(self, batch: link_pb2.TaskResultBatch) -> None:
        async with self._writing:
            await self._write(batch)
