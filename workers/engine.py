"""The interface between the gRPC servicer and an engine: one heavy shared Engine makes light EngineSessions.

An engine owns the model; a session owns *all* mutable state of one stream. Every engine (speech, vision, fake) passes
the same conformance suite, tests/contract/test_engine_conformance.py.

Results are `TaskResult` messages with only `result` and/or `progress` filled in; the servicer stamps ids and attempt.
The invariant of every session: a chunk's words are in exactly one final, and the message that carries this final
(or a later one) carries the `progress` that covers the chunk.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from talkup.v1 import error_pb2, task_pb2, worker_service_pb2

from workers.capacity import SlotsChange
from workers.chunk import Chunk
from workers.observer import EngineObserver


@dataclass(frozen=True, slots=True)
class StreamContext:
    """The stream that a session works for.

    `deadline` is on the clock of `asyncio.get_running_loop().time()`, seconds; None: no deadline. `service_type`: what
    the caller asked for, since speech engines serve delivery, too; unspecified: the engine's own.
    """

    session_id: str
    stream_id: str
    attempt: int
    deadline: float | None = None
    service_type: task_pb2.ServiceType = task_pb2.SERVICE_TYPE_UNSPECIFIED


class EngineError(Exception):
    """A failure with a code of the closed list, ready for the wire.

    `message` is for a person: no internals, no transcript, no media. `field` is the path of the offending field.
    """

    def __init__(
        self,
        code: error_pb2.ErrorCode,
        message: str,
        *,
        field: str = "",
        retryable: bool = False,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms


class EngineSession(Protocol):
    """One stream's work. `accept`, `flush` and `end` are called in order by one task; `results` is read by another."""

    async def accept(self, chunk: Chunk) -> None:
        """Accept one chunk; waits while the session is too far behind (HTTP/2 flow control then reaches the sender).

        Raises EngineError for input that cannot be used.
        """
        ...

    async def flush(self, flush_id: int) -> None:
        """Make everything received so far final; `flushed` follows the last final it covers, before later results."""
        ...

    async def end(self) -> None:
        """No more chunks: the remaining finals, then `ended`, then `results` stops."""
        ...

    def results(self) -> AsyncIterator[task_pb2.TaskResult]:
        """The session's results, in order; raises EngineError when the stream cannot continue."""
        ...

    async def close(self) -> None:
        """Free everything at once, finished or not. May be called at any time, and twice."""
        ...


class Engine(Protocol):
    """What is shared by all streams of a worker process."""

    @property
    def service_type(self) -> task_pb2.ServiceType: ...

    async def load(self) -> None:
        """Load and check the model; the worker is NOT_SERVING until this returns."""
        ...

    def describe(self) -> worker_service_pb2.DescribeResponse:
        """Models, languages, formats; the servicer fills in slots, version and draining."""
        ...

    def open(self, start: task_pb2.StreamStart, context: StreamContext) -> EngineSession:
        """Make a session, new or from `start.resume_state`. Raises EngineError for a start it cannot serve."""
        ...

    def default_slots(self) -> int:
        """How many streams this engine serves in real time on this machine, known after `load`."""
        ...

    async def review(self) -> SlotsChange | None:
        """Bring `default_slots` up to date; called every second after `load`. Returns what changed, None: nothing.

        An idle engine may take the time to measure itself; streams never wait for that.
        """
        ...

    def totals(self) -> Mapping[str, float]:
        """Rising totals since the start, by snake-case name, for metrics; without personal data.

        May be called from any thread, before `load` too.
        """
        ...

    def observe(self, observer: EngineObserver) -> None:
        """Report the work of the engine to an observer from now on. Called before `load`."""
        ...

    async def close(self) -> None: ...
