"""A call to a worker, however it travels: as an RPC of its own, or within a link."""

from __future__ import annotations

from typing import Protocol

from talkup.v1 import task_pb2


class WorkerCall(Protocol):
    """One stream's call. One task writes to it and another one reads from it."""

    async def write(self, request: task_pb2.TaskRequest) -> None:
        """Send one request; waits for flow control. Raises CallOver when the call has ended."""
        ...

    async def done_writing(self) -> None:
        """Half-close the call: no further request follows. Raises CallOver when the call has ended."""
        ...

    async def read(self) -> task_pb2.TaskResult | None:
        """The next result; None if the worker closed the call normally. Raises CallFailed.

        Cancelling this method may cancel the entire call.
        """
        ...

    def cancel(self, *, unanswered: bool = False) -> None:
        """Drop the call, in whatever state. `unanswered`: the worker let the deadline for its first result pass."""
        ...
