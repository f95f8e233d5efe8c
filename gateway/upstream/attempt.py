"""One admitted call to a worker: it writes requests, waits for its turn and detects a stalled worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from talkup.v1 import task_pb2

from gateway.upstream.call import WorkerCall
from gateway.upstream.config import Deadlines
from gateway.upstream.event import Event
from gateway.upstream.failures import (
    CallFailed,
    CallOver,
    FinishDeadline,
    MoveRequested,
    UpstreamFailure,
    WorkerError,
    WorkerStalled,
)
from gateway.upstream.placement import Lease
from gateway.upstream.replay import ReplayBuffer, WireRequest
from gateway.upstream.stall import StallClock
from gateway.upstream.turns import Turns

# How long a worker may take to close a call after `ended`, seconds.
_CLOSE_TIMEOUT = 1.0
# Results that end, move and answer nothing.
_ORDINARY = frozenset({"transcript", "analysis", "speech_event", "flow"})
# How often a stream's deadlines are checked at least, seconds.
_CHECK_INTERVAL = 0.5
# How long a turn waits for the replay to be written, seconds.
_REPLAY_TIMEOUT = 1.0


async def first_response(call: WorkerCall, start: task_pb2.TaskRequest) -> task_pb2.TaskResult:
    """Send `start` and read the worker's first result. Raises UpstreamFailure."""
    with contextlib.suppress(CallOver):  # The read below reports the reason.
        await call.write(start.SerializeToString())
    first = await call.read()
    if first is None:
        raise CallFailed("OK")
    if first.error.fatal and first.error.retryable:
        raise WorkerError(first.error)
    return first


class Attempt:
    """One admitted call, as attempt `number` of its stream.

    `exposed`: the worker has received more of the stream than `start`. `survived`: it also outlived the stream's turn.
    `leave_by`: when the stream must leave a draining worker.
    """

    def __init__(
        self, number: int, lease: Lease, call: WorkerCall, first: task_pb2.TaskResult, clock: Callable[[], float]
    ) -> None:
        self.number = number
        self.lease = lease
        self.call = call
        self._first: task_pb2.TaskResult | None = first
        self.stall = StallClock()
        self.leave_by: float | None = None
        self.ending = False
        self.caught_up = Event()
        self.progressed = Event()
        self.exposed = False
        self.survived = False
        self._clock = clock
        self._end_sent_at: float | None = None
        self._may_write = Event()

    @property
    def worker(self) -> str:
        """The key of the endpoint that holds the call."""
        return self.lease.endpoint.state.key

    def take_first(self) -> task_pb2.TaskResult | None:
        """The first result, once: a message that is kept takes more than a kilobyte."""
        first, self._first = self._first, None
        return first

    async def wait_for_turn(self) -> None:
        """Wait until requests may be written."""
        await self._may_write.wait()

    def allow_writing(self) -> None:
        """Allow writing at once."""
        self._may_write.set()

    async def take_turn(self, turns: Turns) -> None:
        """Allow writing in the stream's turn: its last worker was lost."""
        async with turns.acquire():
            self._may_write.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPLAY_TIMEOUT):
                    await self.caught_up.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(turns.duration):
                    await self.progressed.wait()
        self.survived = True

    async def write(self, request: WireRequest) -> None:
        """Write one request. Raises CallOver when the call is over."""
        self.exposed = True
        self.stall.write_started(self._clock())
        await self.call.write(request.data)
        self.stall.write_finished(self._clock(), answer_owed=request.kind != "chunk")
        if request.kind == "end":
            self.ending = True
            self._end_sent_at = self._clock()
            await self.call.done_writing()

    def write_next(self, replay: ReplayBuffer) -> bool:
        """Write the only chunk that waits in the replay buffer; False: it has to wait for something."""
        if replay.has_gaps or not self.call.is_writable:
            return False
        chunk = replay.next_request(self.number)
        assert chunk is not None
        self.exposed = True
        now = self._clock()
        self.stall.write_started(now)
        try:  # noqa: SIM105 (contextlib.suppress costs 0.3 µs)
            self.call.write_now(chunk.data)
        except CallOver:
            pass  # the reader reports the reason
        self.stall.write_finished(now, answer_owed=False)
        return True

    def only_passes(self, result: task_pb2.TaskResult, kind: str | None) -> bool:
        """Whether a result of this attempt has only to be passed on: it ends, moves and answers nothing."""
        return kind in _ORDINARY and result.attempt == self.number and self.leave_by is None

    def committed(self) -> None:
        """More of the stream is final: this worker makes progress, so its time to finish starts again."""
        self.progressed.set()
        if self._end_sent_at is not None:
            self._end_sent_at = self._clock()

    def check_deadlines(self, deadlines: Deadlines) -> None:
        """Raise FinishDeadline, MoveRequested or WorkerStalled if one is due."""
        now = self._clock()
        if self._end_sent_at is not None and now - self._end_sent_at > deadlines.finish:
            raise FinishDeadline
        if self.leave_by is not None and now >= self.leave_by:
            raise MoveRequested
        stalled = self.stall.stalled_for(now) >= deadlines.stall
        silent = self.lease.endpoint.state.silent_for(now) >= deadlines.hung
        waiting_for_turn = not self._may_write.is_set()
        if stalled or (silent and (waiting_for_turn or self.stall.unanswered_for(now) >= deadlines.hung)):
            raise WorkerStalled

    def watch(self, deadlines: Deadlines) -> asyncio.Future[None]:
        """Check the deadlines regularly until the future is cancelled or fails with what is due.

        A timer and not a task: every stream is watched, and waking a task each time would cost more.
        """
        loop = asyncio.get_running_loop()
        failure: asyncio.Future[None] = loop.create_future()
        interval = min(_CHECK_INTERVAL, deadlines.stall / 4, deadlines.hung / 4, deadlines.finish / 4)

        def check() -> None:
            if failure.done():
                return
            try:
                self.check_deadlines(deadlines)
            except (UpstreamFailure, MoveRequested) as due:
                failure.set_exception(due)
            else:
                loop.call_later(interval, check)

        loop.call_later(interval, check)
        return failure

    async def wait_for_close(self) -> None:
        """Give the worker time to close the call itself, so that it sees no cancellation."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                while await self.call.read() is not None:
                    pass
        except (TimeoutError, CallFailed):
            return
