"""One media stream, served by one worker after another: requests go down, results come up, even if workers fail.

One task runs a stream. It finds a worker that admits the stream, then writes, reads and checks deadlines until the
stream has ended. When the worker is lost or drains, another one admits the stream, and the replay buffer provides what
has to be sent again:

    admit --started--> run --ended--> over
      ^                 |
      +- new attempt <--+  worker lost (a strike) or draining (no strike)

Every attempt has a number; results with any other number are dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from talkup.v1 import error_pb2, task_pb2

from gateway.upstream.attempt import Attempt, first_response
from gateway.upstream.commit_meter import CommitMeter
from gateway.upstream.config import UpstreamConfig
from gateway.upstream.event import Event
from gateway.upstream.failures import (
    CallFailed,
    CallOver,
    ConnectDeadline,
    InternalFailure,
    MoveRequested,
    NoWorker,
    StreamDeadline,
    UpstreamFailure,
    WorkerError,
)
from gateway.upstream.items import FailoverNotice, StreamItem, gap_error, media_reached_ms, progress_alone
from gateway.upstream.observer import UpstreamMetrics
from gateway.upstream.placement import Lease, ServicePlacement
from gateway.upstream.replay import ReplayBuffer
from gateway.upstream.retry import Strikes, admit

log = structlog.get_logger()

# Gets what comes back from a stream, in order, and None once the stream is over. It is called from the event loop,
# never within a call of the stream's methods, and must not raise.
Receiver = Callable[[StreamItem | None], None]


class TaskStream:
    """A stream as a session uses it. `offer`, `cancel` and the properties never wait."""

    def __init__(
        self,
        start: task_pb2.TaskRequest,
        placement: ServicePlacement,
        config: UpstreamConfig,
        metrics: UpstreamMetrics,
        clock: Callable[[], float],
        *,
        resumed: bool = False,
    ) -> None:
        """`start` carries the payload `start`; raises ValueError otherwise.

        `resumed`: the stream ran before; its attempts continue from the number in `start`.
        """
        if start.WhichOneof("payload") != "start":
            raise ValueError("a stream begins with start")
        self._start = start
        self._service = start.service_type
        self._log = log.bind(
            session_id=start.session_id,
            stream_id=start.stream_id,
            service=task_pb2.ServiceType.Name(start.service_type).removeprefix("SERVICE_TYPE_").lower(),
        )
        self._placement = placement
        self._config = config
        self._metrics = metrics
        self._clock = clock
        self._replay = ReplayBuffer(config.buffer.replay_bytes, config.buffer.replay_seconds, clock, start=start)
        self._meter = CommitMeter(start, self._replay, metrics, clock)
        self._resumed = resumed
        self._strikes = Strikes(config.retry.strikes, config.retry.advance_ms, config.retry.recover_attempts)
        self._opened_at = clock()
        self._attempt = max(0, start.attempt - 1)
        self._was_admitted = False
        self._failovers = 0
        self._end_offered = False
        self._over = False
        self._is_cancelled = False
        self._is_congested = False
        self._unsent = Event()
        self._writable = Event()
        self._caught_up: Attempt | None = None  # it has written everything, and its writer waits for more
        self._receive: Receiver | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, task: asyncio.Task[None], receive: Receiver) -> None:
        """Set the task that runs the stream, and who gets what comes back; None comes in any case."""
        self._task = task
        self._receive = receive
        task.add_done_callback(lambda _: self._finish())

    def offer(self, request: task_pb2.TaskRequest) -> None:
        """Append a chunk, flush or end, with the fields of `start`; ignored after the end, or if the stream is over."""
        if self._over or self._end_offered:
            return
        kind = self._replay.offer(request)
        self._end_offered = kind == "end"
        idle = self._caught_up if kind == "chunk" and not self._unsent.is_set() else None
        if idle is None or not idle.write_next(self._replay):
            self._unsent.set()

    @property
    def behind_ms(self) -> int:
        """Age of the oldest request not yet written to a worker, milliseconds."""
        return self._replay.behind_ms

    @property
    def replay_bytes(self) -> int:
        """Bytes kept for another worker, including what was not written yet."""
        return self._replay.retained_bytes

    @property
    def congested(self) -> bool:
        """Whether the backlog rose above the high mark and has not fallen below the low mark since."""
        size = self._replay.behind_bytes
        if self._over or not size:
            self._is_congested = False
            return False
        bounds, age = self._config.buffer, self._replay.behind_ms
        if self._is_congested:
            self._is_congested = size > bounds.low_bytes or age > bounds.low_ms
        else:
            self._is_congested = size > bounds.high_bytes or age > bounds.high_ms
        return self._is_congested

    async def wait_writable(self) -> None:
        """Wait until the stream is not congested, or is over. The caller limits the wait."""
        while self.congested:
            self._writable.clear()
            await self._writable.wait()

    def cancel(self) -> None:
        """Drop everything at once: no further result is passed on."""
        self._is_cancelled = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Run the stream to its end. Raises only CancelledError."""
        self._metrics.stream_opened(self._service)
        self._log.debug("worker stream opened")
        outcome = "cancelled"
        try:
            outcome = await self._run_within_deadline()
        finally:
            self._finish()
            self._metrics.stream_finished(self._service, outcome)
            self._log.info(
                "worker stream ended",
                outcome=outcome,
                attempts=self._attempt,
                failovers=self._failovers,
                seconds=round(self._clock() - self._opened_at, 3),
            )

    def _finish(self) -> None:
        if not self._over:
            self._over = True
            self._writable.set()
            if self._receive is not None:
                self._receive(None)
                self._receive = None

    async def wait_until_over(self) -> None:
        """Wait until the stream is over; after `cancel` that is soon."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run_within_deadline(self) -> str:
        try:
            async with asyncio.timeout(self._config.deadlines.stream):
                return await self._run_attempts()
        except TimeoutError:
            failure: UpstreamFailure = StreamDeadline()
        except UpstreamFailure as caught:
            failure = caught
        except Exception:  # noqa: BLE001 (the edge of the stream's task: a bug ends this stream with an error, and no other)
            self._log.exception("worker stream failed")
            failure = InternalFailure()
        self._declare_gaps()
        self._publish(task_pb2.TaskResult(error=failure.to_error()))
        return failure.reason

    async def _run_attempts(self) -> str:
        left: set[str] = set()
        while True:
            attempt = await self._admit(left)
            left = {attempt.worker}
            failure: UpstreamFailure | None = None
            try:
                return await self._run_attempt(attempt)
            except MoveRequested:
                pass
            except UpstreamFailure as caught:
                failure = caught
                self._metrics.attempt_failed(self._service, failure.reason)
                self._log.warning("worker lost", target=attempt.lease.endpoint.address.target, reason=failure.reason)
            finally:
                self._caught_up = None
                attempt.call.cancel()
                attempt.lease.release(failure)
            if failure is not None:
                self._count_loss(attempt, failure)
            self._metrics.replayed(self._service, self._replay.begin_attempt())

    def _count_loss(self, attempt: Attempt, failure: UpstreamFailure) -> None:
        """Count a lost worker against the stream if the stream may be the cause. Raises if the stream must end."""
        if not attempt.exposed:
            self._strikes.lost_unexposed(failure)
            return
        survived = attempt.survived and self._strikes.has_strikes
        outage = not self._placement.has_other(attempt.worker)
        self._strikes.strike(failure, share=0.5 if survived else 1.0, doubtful=survived or outage)

    async def _admit(self, left: set[str]) -> Attempt:
        """Find a worker that admits the stream, the one just `left` last. Raises UpstreamFailure."""
        deadlines, policy = self._config.deadlines, self._config.retry
        running = self._was_admitted or self._resumed
        budget = deadlines.recover if running else deadlines.admit
        until = self._clock() + budget
        tried = set(left)

        async def try_endpoint() -> Attempt:
            wait = until - self._clock()
            lease = await self._placement.acquire(tried, wait=wait, refuse_when_full=not running)
            tried.add(lease.endpoint.state.key)
            return await self._try_endpoint(lease)

        reporter = asyncio.create_task(self._report_waiting()) if running else None
        try:
            attempt = await admit(
                try_endpoint,
                policy,
                attempts=policy.recover_attempts if running else policy.attempts,
                budget=budget,
                on_retry=lambda reason: self._metrics.retry(self._service, reason),
            )
        finally:
            if reporter is not None:
                reporter.cancel()
        self._metrics.stream_admitted(self._service, self._clock() - until + budget, is_failover=self._was_admitted)
        if self._was_admitted:
            self._failovers += 1
            self._publish(FailoverNotice(attempt.number, self._replay.replay_from))
        self._was_admitted = True
        return attempt

    async def _report_waiting(self) -> None:
        """Report once that the stream is waiting for a worker, if that takes longer than `report_waiting`."""
        await asyncio.sleep(self._config.deadlines.report_waiting)
        waiting = NoWorker().to_error()
        waiting.fatal = False
        waiting.retry_after_ms = self._config.retry.busy_retry_after_ms
        self._publish(task_pb2.TaskResult(error=waiting))

    async def _try_endpoint(self, lease: Lease) -> Attempt:
        """Send `start` and wait for the first response. Raises UpstreamFailure."""
        self._attempt += 1
        self._start.attempt = self._attempt
        self._start.start.ClearField("resume_state")
        if self._replay.resume_state:
            self._start.start.resume_state = self._replay.resume_state
        deadlines = self._config.deadlines
        trace = self._metrics.attempt_began(self._service, self._attempt, lease.endpoint.address.target)
        call = lease.endpoint.channel.open_task(max(0.001, self._opened_at + deadlines.stream - self._clock()), trace)
        failure: UpstreamFailure | None = None
        first: task_pb2.TaskResult | None = None
        try:
            async with asyncio.timeout(deadlines.connect):
                first = await first_response(call, self._start)
            self._metrics.attempt_admitted(self._service)
            return Attempt(self._attempt, lease, call, first, self._clock)
        except TimeoutError:
            failure = ConnectDeadline()
            raise failure from None
        except UpstreamFailure as caught:
            failure = caught
            raise
        finally:
            if first is None:
                call.cancel(unanswered=isinstance(failure, ConnectDeadline))
                lease.release(failure)
                if failure is not None:
                    self._metrics.attempt_failed(self._service, failure.reason)

    async def _run_attempt(self, attempt: Attempt) -> str:
        """Write, read and check deadlines until the stream is over. Raises UpstreamFailure or MoveRequested."""
        reader = asyncio.create_task(self._read(attempt))
        others = [asyncio.create_task(self._write(attempt)), attempt.watch(self._config.deadlines)]
        if self._strikes.has_strikes:
            others.append(asyncio.create_task(attempt.take_turn(self._placement.turns)))
        else:
            attempt.allow_writing()
        try:
            pending: set[asyncio.Future[Any]] = {reader, *others}
            while not reader.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            return reader.result()
        finally:
            parts: tuple[asyncio.Future[Any], ...] = (reader, *others)
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)

    async def _write(self, attempt: Attempt) -> None:
        await attempt.wait_for_turn()
        while True:
            request = self._replay.next_request(attempt.number)
            if request is None:
                attempt.caught_up.set()
                self._unsent.clear()
                self._caught_up = attempt
                await self._unsent.wait()
                self._caught_up = None
                continue
            if request.kind == "chunk":
                self._declare_gaps()
            try:
                await attempt.write(request)
            except CallOver:
                return
            if not self.congested:
                self._writable.set()

    async def _read(self, attempt: Attempt) -> str:
        attempt.call.pass_to(lambda each: self._pass(attempt, each))
        result = attempt.take_first()
        while result is not None:
            kind = result.WhichOneof("result")
            if result.attempt == attempt.number and (outcome := self._handle_result(attempt, result, kind)) is not None:
                attempt.call.pass_to(None)
                await attempt.wait_for_close()
                return outcome
            del result  # it is not kept while the call waits
            result = await attempt.call.read()
        raise CallFailed("OK")

    def _pass(self, attempt: Attempt, result: task_pb2.TaskResult) -> bool:
        """Handle a result without waking the reader; False: it is the reader's."""
        kind = result.WhichOneof("result")
        return attempt.only_passes(result, kind) and self._handle_result(attempt, result, kind) is None

    def _handle_result(self, attempt: Attempt, result: task_pb2.TaskResult, kind: str | None) -> str | None:
        """Handle one result; returns the stream's outcome if it is the last one."""
        attempt.stall.result_received(self._clock(), answered=kind == "flushed")
        progressed = self._meter.enter(result)
        if progressed:
            self._strikes.progressed()
            attempt.committed()
            attempt.lease.endpoint.state.stream_progressed()
        self._strikes.media_reached(media_reached_ms(result, kind))
        match kind:
            case "drain":
                attempt.leave_by = self._clock() + result.drain.deadline_ms / 1000
                attempt.lease.endpoint.state.drain_reported()
                result.ClearField("drain")
            case "flushed":
                self._replay.answer_flush(result.flushed.flush_id)
            case "error" if result.error.fatal and result.error.retryable:
                if (committed := progress_alone(result)) is not None:
                    self._publish(committed)
                raise WorkerError(result.error)
        if kind != "drain" or result.HasField("progress"):
            self._publish(result)
        if kind == "ended":
            return "ended"
        if kind == "error" and result.error.fatal:
            return error_pb2.ErrorCode.Name(result.error.code).removeprefix("ERROR_CODE_").lower()
        is_leaving = progressed and attempt.leave_by is not None and not attempt.ending
        if is_leaving and self._placement.has_other(attempt.worker):
            raise MoveRequested
        return None

    def _declare_gaps(self) -> None:
        for gap in self._replay.take_gaps():
            self._metrics.chunks_lost(self._service, gap.last - gap.first + 1)
            self._log.warning("chunks lost", first=gap.first, last=gap.last)
            self._publish(task_pb2.TaskResult(error=gap_error(gap)))

    def _publish(self, item: StreamItem) -> None:
        if isinstance(item, task_pb2.TaskResult) and item.attempt == 0:
            item.session_id, item.stream_id = self._start.session_id, self._start.stream_id
            item.service_type, item.attempt = self._service, self._attempt
        if self._receive is not None and not self._is_cancelled:
            self._receive(item)
