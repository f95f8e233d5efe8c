"""A caller of StreamTasks that uses only the generated stubs: calls in one RPC, with the face of RPCs of their own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from talkup.v1 import link_pb2, task_pb2

from workers.errors import ERROR_METADATA_KEY, PUSHBACK_METADATA_KEY

CREDIT = 65_536
_STATUS = {status.value[0]: status for status in grpc.StatusCode}


class LinkCaller:
    """One link. Each entry goes alone into a batch."""

    def __init__(self, stub: Any) -> None:
        self.rpc = stub.StreamTasks()
        self._calls: dict[int, LinkedRpc] = {}
        self._last = 0
        self._writing = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None

    def call(self, timeout: float | None = None) -> LinkedRpc:
        return LinkedRpc(self, timeout)

    def begin(self, call: LinkedRpc) -> int:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        self._last += 1
        self._calls[self._last] = call
        return self._last

    async def send(self, *entries: link_pb2.TaskEntry) -> None:
        async with self._writing:
            await self.rpc.write(link_pb2.TaskBatch(entries=entries))

    async def _read(self) -> None:
        while (batch := await self.rpc.read()) is not grpc.aio.EOF:
            for entry in batch.entries:
                self._calls[entry.call].receive(entry)


class LinkedRpc:
    """One call, used like the call object of StreamTask."""

    def __init__(self, link: LinkCaller, timeout: float | None) -> None:
        self._link = link
        self._timeout = timeout
        self._number = 0
        self._credit = CREDIT
        self._granted = asyncio.Event()
        self._results: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._closed: asyncio.Future[link_pb2.CallClosed] = asyncio.get_running_loop().create_future()

    def receive(self, entry: link_pb2.TaskResultEntry) -> None:
        match entry.WhichOneof("entry"):
            case "result":
                self._results.put_nowait(entry.result)
            case "credit":
                self._credit += entry.credit
                self._granted.set()
            case "closed":
                self._closed.set_result(entry.closed)
                self._results.put_nowait(None)

    async def write(self, request: task_pb2.TaskRequest) -> None:
        data = request.SerializeToString()
        while self._credit <= 0:
            self._granted.clear()
            await self._granted.wait()
        self._credit -= len(data)
        if self._number:
            await self._link.send(link_pb2.TaskEntry(call=self._number, request=data))
            return
        self._number = self._link.begin(self)
        opening = link_pb2.CallOpen(request=data, timeout_ms=round(1000 * (self._timeout or 0)))
        await self._link.send(link_pb2.TaskEntry(call=self._number, open=opening))

    async def done_writing(self) -> None:
        await self._link.send(link_pb2.TaskEntry(call=self._number, half_close=link_pb2.CallHalfClose()))

    async def read(self) -> Any:
        data = await self._results.get()
        if data is not None:
            if not self._closed.done():
                await self._link.send(link_pb2.TaskEntry(call=self._number, credit=len(data)))
            return task_pb2.TaskResult.FromString(data)
        self._results.put_nowait(None)
        code = await self.code()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
        return grpc.aio.EOF

    def cancel(self) -> None:
        entry = link_pb2.TaskEntry(call=self._number, cancel=link_pb2.CallCancel())
        self._cancelling = asyncio.ensure_future(self._cancel(entry))

    async def _cancel(self, entry: link_pb2.TaskEntry) -> None:
        with suppress(asyncio.InvalidStateError):  # the link is over already
            await self._link.send(entry)

    async def code(self) -> grpc.StatusCode:
        return _STATUS[(await self._closed).status_code]

    async def trailing_metadata(self) -> list[tuple[str, str | bytes]]:
        error = (await self._closed).error
        found: list[tuple[str, str | bytes]] = [(ERROR_METADATA_KEY, error.SerializeToString())]
        if error.HasField("retry_after_ms"):
            found.append((PUSHBACK_METADATA_KEY, str(error.retry_after_ms)))
        return found
