"""A call to a worker, however it travels: as an RPC of its own, or within a link."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from talkup.v1 import task_pb2

# Takes a result without waiting; False: it is left for the reader.
Take: TypeAlias = Callable[[task_pb2.TaskResult], bool]


class WorkerCall(Protocol):
    """One stream's call. One task writes to it and another one reads from it."""

    async def write(self, request: bytes) -> None:
        """Send one serialised TaskRequest; waits for flow control. Raises CallOver when the call has ended."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether a request can be sent without waiting: with `write_now`."""
        ...

    def write_now(self, request: bytes) -> None:
        """Send one request of a call that `is_writable`. Raises CallOver if it is too large, which ends the call."""
        ...

    async def done_writing(self) -> None:
        """Half-close the call: no further request follows. Raises CallOver when the call has ended."""
        ...

    async def read(self) -> task_pb2.TaskResult | None:
        """The next result; None if the worker closed the call normally. Raises CallFailed.

        Cancelling this method may cancel the entire call.
        """
        ...

    def pass_to(self, take: Take | None) -> None:
        """While the reader waits, a call may offer each result to `take` first, which spares waking the reader."""
        ...

    def cancel(self, *, unanswered: bool = False) -> None:
        """Drop the call, in whatever state. `unanswered`: the worker let the deadline for its first result pass."""
        ...
