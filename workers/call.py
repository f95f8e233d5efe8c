"""A caller's call of StreamTask, however it comes: as an RPC of its own, or within a link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from talkup.v1 import task_pb2


class Call(Protocol):
    """What the servicer needs of a call. Cancelling the task that serves it ends it."""

    @property
    def requests(self) -> AsyncIterator[task_pb2.TaskRequest]:
        """The caller's messages, in order, until it half-closes."""
        ...

    @property
    def traceparent(self) -> str | None:
        """The caller's trace context, if it sent one."""
        ...

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None: it has none."""
        ...

    async def write(self, result: task_pb2.TaskResult) -> None:
        """Send a result; waits for the caller's flow control."""
        ...
