"""An upstream side whose streams can be read from: what a session would receive waits in a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from weakref import WeakKeyDictionary

from talkup.v1 import task_pb2

from gateway.upstream.items import StreamItem
from gateway.upstream.pool import Upstream
from gateway.upstream.task_stream import Receiver, TaskStream

_RECEIVED: WeakKeyDictionary[TaskStream, asyncio.Queue[StreamItem | None]] = WeakKeyDictionary()


class ListeningUpstream(Upstream):
    """Its streams keep what they receive for `results_of`."""

    def open(
        self,
        service: task_pb2.ServiceType,
        start: task_pb2.TaskRequest,
        receive: Receiver | None = None,
        *,
        resumed: bool = False,
    ) -> TaskStream:
        received: asyncio.Queue[StreamItem | None] = asyncio.Queue()
        stream = super().open(service, start, receive or received.put_nowait, resumed=resumed)
        _RECEIVED[stream] = received
        return stream


async def results_of(stream: TaskStream) -> AsyncIterator[StreamItem]:
    """Yield what a stream received, in order, until it is over."""
    while (item := await _RECEIVED[stream].get()) is not None:
        yield item
