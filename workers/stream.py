"""One admitted stream between a call and an engine session: one loop forwards requests, another sends results.

Requests go to the session in order, results come back in order, and the two never wait for each other except through
the session's own backpressure. Whatever ends the stream first ends both loops.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Never

import structlog
from talkup.v1 import error_pb2, task_pb2

from workers.chunk import chunk_of
from workers.engine import EngineError, EngineSession
from workers.errors import RefusedError, to_message
from workers.requests import RequestChecker, Task

_log = structlog.get_logger()

WriteResult = Callable[[task_pb2.TaskResult], Awaitable[None]]


class Outcome(enum.StrEnum):
    """How a stream ended, as logs and metrics call it."""

    ENDED = "ended"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclass(slots=True)
class StreamNumbers:
    """The numbers of a stream's closing log line."""

    outcome: Outcome = Outcome.CANCELLED
    chunks: int = 0
    bytes: int = 0
    results: int = 0
    finals: int = 0
    committed_sequence: int | None = None
    error_code: str | None = None

    def note(self, result: task_pb2.TaskResult) -> None:
        """Count a result that has been sent."""
        self.results += 1
        if result.progress.HasField("committed_sequence"):
            self.committed_sequence = result.progress.committed_sequence
        match result.WhichOneof("result"):
            case "transcript":
                self.finals += result.transcript.is_final
            case "ended":
                self.outcome = Outcome.ENDED
            case "error" if result.error.fatal:
                self.outcome = Outcome.FAILED
                self.error_code = error_pb2.ErrorCode.Name(result.error.code)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Bounds on waiting, seconds. `deadline` is on the loop's clock."""

    deadline: float
    write_seconds: float


class _Writer:
    """Writes one result at a time; a write whose waiter was cancelled is finished before the next begins.

    A cancelled write stays in flight inside gRPC, and a second one at the same time fails.
    """

    def __init__(self, write: WriteResult, timeout: float) -> None:
        self._write = write
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._in_flight: asyncio.Future[None] | None = None

    async def write(self, result: task_pb2.TaskResult) -> None:
        """Raises RefusedError when the caller does not read for too long."""
        async with self._turn:
            if self._in_flight is not None:
                await self._wait_written(self._in_flight)
            self._in_flight = asyncio.ensure_future(self._write(result))
            await self._wait_written(self._in_flight)

    async def _wait_written(self, write: asyncio.Future[None]) -> None:
        done, _ = await asyncio.wait({write}, timeout=self._timeout)
        if not done:
            raise RefusedError(error_pb2.ERROR_CODE_DEADLINE_EXCEEDED, "the caller does not read its results")
        write.result()

    def close(self) -> None:
        if self._in_flight is not None and not self._in_flight.done():
            self._in_flight.cancel()


class Stream:
    """Runs one stream to its end. While it runs, others may call `drain` and set `superseded`."""

    def __init__(
        self,
        task: Task,
        session: EngineSession,
        requests: AsyncIterator[task_pb2.TaskRequest],
        write: WriteResult,
        *,
        limits: StreamLimits,
        superseded: asyncio.Event,
    ) -> None:
        self.numbers = StreamNumbers()
        self._task = task
        self._session = session
        self._requests = requests
        self._writer = _Writer(write, limits.write_seconds)
        self._limits = limits
        self._drains: asyncio.Queue[int] = asyncio.Queue()
        self._superseded = superseded

    def drain(self, deadline_ms: int) -> None:
        """Tell the caller that this worker is draining; the latest deadline counts."""
        self._drains.put_nowait(deadline_ms)

    async def run(self, started: task_pb2.Started) -> None:
        """Serve the stream; failures of its own are sent in band.

        Raises RefusedError for a breach of the contract and for a superseded attempt.
        """
        try:
            await self._send(task_pb2.TaskResult(started=started))
            failure = await self._work()
            if failure is not None:
                await self._send(task_pb2.TaskResult(error=to_message(failure, fatal=True)))
        except RefusedError as refusal:
            self.numbers.outcome = Outcome.REFUSED
            self.numbers.error_code = error_pb2.ErrorCode.Name(refusal.code)
            raise
        finally:
            self._writer.close()

    async def _work(self) -> EngineError | None:
        """Run both loops until the session's last result; returns the failure that ended them, if any."""
        deadline = asyncio.timeout_at(self._limits.deadline)
        try:
            async with deadline, asyncio.TaskGroup() as loops:
                parts = (self._forward_requests(), self._send_drains(), self._stop_when_superseded())
                helpers = [loops.create_task(part) for part in parts]
                await self._deliver()
                for helper in helpers:
                    helper.cancel()
        except TimeoutError:
            return EngineError(error_pb2.ERROR_CODE_DEADLINE_EXCEEDED, "the stream has reached its longest duration")
        except ExceptionGroup as group:
            return _cause(group)
        return None

    async def _forward_requests(self) -> None:
        """Pass requests to the session. A caller that half-closes without `end` ends the stream."""
        checker = RequestChecker(self._task)
        async for request in self._requests:
            checker.check(request)
            match request.WhichOneof("payload"):
                case "chunk":
                    self.numbers.chunks += 1
                    self.numbers.bytes += len(request.chunk.payload)
                    await self._session.accept(chunk_of(request.chunk))
                case "flush":
                    await self._session.flush(request.flush.flush_id)
                case _:
                    break
        await self._session.end()

    async def _deliver(self) -> None:
        async for result in self._session.results():
            await self._send(result)
            if result.WhichOneof("result") == "error" and result.error.fatal:
                return

    async def _send_drains(self) -> Never:
        while True:
            await self._send(task_pb2.TaskResult(drain=task_pb2.Drain(deadline_ms=await self._drains.get())))

    async def _stop_when_superseded(self) -> Never:
        await self._superseded.wait()
        raise RefusedError(error_pb2.ERROR_CODE_SUPERSEDED, "a newer attempt of the stream runs here", field="attempt")

    async def _send(self, result: task_pb2.TaskResult) -> None:
        task, numbers = self._task, self.numbers
        result.session_id, result.stream_id = task.key
        result.service_type, result.attempt = task.service_type, task.attempt
        await self._writer.write(result)
        numbers.note(result)


def _cause(group: ExceptionGroup[Exception]) -> EngineError:
    """The first failure of a group as one for the wire; a refusal is raised instead."""
    leaf: Exception = group
    while isinstance(leaf, ExceptionGroup):
        leaf = leaf.exceptions[0]
    match leaf:
        case RefusedError():
            raise leaf from None
        case EngineError():
            return leaf
        case _:
            _log.error("stream failed unexpectedly", error=type(leaf).__name__, where=place_of(leaf))
            return EngineError(error_pb2.ERROR_CODE_INTERNAL, "the worker failed on this stream", retryable=True)


def place_of(error: BaseException) -> str:
    """File and line of an error; its text may hold speech and stays out of the log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "unknown" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
