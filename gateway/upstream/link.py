"""A link: many calls to one worker, carried by one RPC. One task writes its batches, another one reads them.

When the RPC ends, all calls of the link have failed, as if each had been an RPC of its own on a connection that broke.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import structlog
from talkup.v1 import error_pb2, link_pb2, task_pb2, worker_service_pb2

from gateway.upstream.call import Take
from gateway.upstream.failures import CallFailed, CallOver
from gateway.upstream.link_calls import CallState, LinkBreachError, LinkCalls, Outgoing, serialised_batch
from gateway.upstream.link_offer import LinkEnd
from gateway.upstream.results import parse_result
from multiplex.outbox import ENTRY_OVERHEAD, MAX_ENTRIES
from multiplex.writer import BatchWriter

log = structlog.get_logger()

# With these, the RPC of a link says what each of its calls would have met alone. Any other status, and the refusal of a
# link, concerns the link and not the streams in it: for them the connection broke.
_STATUS_OF_CALLS = frozenset({"UNAVAILABLE", "ABORTED", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "PERMISSION_DENIED"})
# With these, another link may well come about.
_PASSING = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
_STATUS_NAMES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]
"""The names of gRPC's statuses, by number (google.rpc.Code)."""


class BatchRpc(Protocol):
    """The RPC that carries a link."""

    async def write(self, batch: bytes) -> None:
        """Send a serialised TaskBatch; waits for HTTP/2 flow control. Raises CallOver."""
        ...

    async def read(self) -> link_pb2.TaskResultBatch | None:
        """The next batch; None if the worker ended the link normally. Raises CallFailed and LinkBreachError."""
        ...

    def cancel(self) -> None:
        """Drop the RPC, in whatever state."""
        ...


class WorkerLink:
    """A link to the worker that made `offer`. Create it inside a running event loop.

    `failure`: why it ended, as its calls report it. `batches`: how many came from the worker.
    """

    def __init__(self, rpc: BatchRpc, offer: worker_service_pb2.LinkOffer, target: str) -> None:
        self.offer = offer
        self.failure: CallFailed | None = None
        self.calls = LinkCalls(offer.max_batch_bytes)
        self.writer = BatchWriter(self.calls.outbox, self._write_batch)
        self.batches = 0
        self._end = LinkEnd.SERVED
        self._rpc = rpc
        self._log = log.bind(target=target)
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())
        self._log.info("link to a worker opened")

    @property
    def end(self) -> LinkEnd | None:
        """How the link ended; None: it has not."""
        return None if self.failure is None else self._end

    @property
    def room(self) -> bool:
        """Whether another call may be opened."""
        return self.failure is None and len(self.calls) < self.offer.max_calls

    def broken(self) -> CallFailed:
        """The failure of the link, as each of its calls reports it."""
        failure = self.failure or CallFailed("CANCELLED")
        return CallFailed(failure.status, transport_reset=failure.transport_reset, cause=failure.cause)

    def drop(self) -> None:
        """End the link and every call that is still in it."""
        self._fail(CallFailed("CANCELLED"), LinkEnd.SERVED)

    def unanswered(self, batches: int) -> None:
        """A call got no answer in time. If the link has brought nothing since its first `batches` batches, it hangs.

        Then its calls move as if the connection had broken: a worker that answers nobody would hold them for ever.
        """
        if self.batches == batches:
            self._fail(CallFailed("DEADLINE_EXCEEDED"))

    async def close(self) -> None:
        """The same, and wait until its tasks are over."""
        self.drop()
        await asyncio.gather(self._writing, self._reading, return_exceptions=True)

    async def _write_batch(self, entries: list[Outgoing]) -> None:
        await self._rpc.write(serialised_batch(entries))

    async def _write(self) -> None:
        try:
            await self.writer.run()
        except CallOver:
            return  # The reader reports the reason.
        except Exception:  # noqa: BLE001 (the edge of the link's task: a bug ends this link, and no other)
            self._log.exception("link to a worker failed")
            self._fail(CallFailed("INTERNAL", transport_reset=True))

    async def _read(self) -> None:
        try:
            while (batch := await self._rpc.read()) is not None:
                self.batches += 1
                if len(batch.entries) > MAX_ENTRIES:
                    raise LinkBreachError(f"a batch has more than {MAX_ENTRIES} entries")
                for entry in batch.entries:
                    self.calls.receive(entry)
        except CallFailed as failure:
            self._fail(failure)
        except LinkBreachError as breach:
            self._log.warning("a worker broke the rules of its link", problem=str(breach))
            self._fail(CallFailed("INTERNAL", transport_reset=True))
        except Exception:  # noqa: BLE001 (the edge of the link's task)
            self._log.exception("link to a worker failed")
            self._fail(CallFailed("INTERNAL", transport_reset=True))
        finally:  # also when the RPC was cancelled: no call may be left waiting
            self._fail(CallFailed("UNAVAILABLE"))

    def _how_it_ends(self, failure: CallFailed) -> LinkEnd:
        if self.batches:
            return LinkEnd.SERVED
        if failure.status in _PASSING:
            return LinkEnd.UNREACHED
        return LinkEnd.BROKE if failure.transport_reset else LinkEnd.REFUSED

    def _fail(self, failure: CallFailed, end: LinkEnd | None = None) -> None:
        if self.failure is not None:
            return
        self._end = end or self._how_it_ends(failure)
        self._log.info("link to a worker ended", reason=failure.reason, calls=len(self.calls))
        if self._end is LinkEnd.REFUSED or failure.status not in _STATUS_OF_CALLS:
            failure = CallFailed("INTERNAL", transport_reset=True, cause=failure.cause)
        self.failure = failure
        self._rpc.cancel()
        current = asyncio.current_task()
        for task in (self._writing, self._reading):
            if task is not current:
                task.cancel()
        self.writer.unblock()
        for state in self.calls.states():
            state.wake_reader()
            state.wake_writer()


class LinkCall:
    """One call of a link. Used like a TaskCall: one task writes to it, another one reads from it."""

    __slots__ = (
        "_batches",
        "_deadline",
        "_expiry",
        "_failure",
        "_link",
        "_next",
        "_readable",
        "_state",
        "_take",
        "_traceparent",
        "_writable",
        "_writing_done",
    )

    def __init__(self, link: WorkerLink, deadline: float, traceparent: str | None) -> None:
        """The call fails `deadline` seconds after its first request."""
        self._link = link
        self._deadline = deadline
        self._traceparent = traceparent
        self._state: CallState | None = None
        self._batches = link.batches
        self._expiry: asyncio.TimerHandle | None = None
        self._failure: CallFailed | None = None
        self._writing_done = False
        self._take: Take | None = None
        # A result that `_take` has left for the reader.
        self._next: task_pb2.TaskResult | None = None
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    async def write(self, request: bytes) -> None:
        """Send one request; waits for credit and for the link. Raises CallOver when the call has ended."""
        link = self._link
        self._check_size(request)
        self._check_open()
        while self._state is not None and not self._state.sent.open:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
            self._check_open()
        while link.calls.outbox.full:
            await link.writer.when_writable()
            self._check_open()
        if self._state is None:
            self._open(request)
        else:
            link.calls.request(self._state, request)
        link.writer.wake()

    @property
    def is_writable(self) -> bool:
        """Whether a request can be sent without waiting: with `write_now`."""
        state = self._state
        if state is None or not state.sent.open or self._link.calls.outbox.full:
            return False
        return not self._is_over

    def write_now(self, request: bytes) -> None:
        """Send one request of a call that `is_writable`. Raises CallOver if it is too large, which ends the call."""
        self._check_size(request)
        if self._failure is not None:
            raise CallOver
        assert self._state is not None
        self._link.calls.request(self._state, request)
        self._link.writer.wake()

    async def done_writing(self) -> None:
        """Half-close the call: no further request follows. Raises CallOver when the call has ended."""
        self._check_open()
        self._writing_done = True
        if self._state is not None:
            self._link.calls.half_close(self._state)
            self._link.writer.wake()

    async def read(self) -> task_pb2.TaskResult | None:
        """The next result; None if the worker closed the call normally. Raises CallFailed."""
        while True:
            if self._next is not None:
                left, self._next = self._next, None
                return left
            state = self._state
            if state is not None and (result := self._link.calls.take_result(state)) is not None:
                self._link.writer.wake()
                return self._parsed(result)
            if self._failure is not None:
                raise self._failure
            if state is not None and state.closed is not None:
                self._check_status(state.closed)
                return None
            if self._link.failure is not None:
                raise self._link.broken()
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable

    def pass_to(self, take: Take | None) -> None:
        """While the reader waits, offer each result to `take` first."""
        self._take = take

    def cancel(self, *, unanswered: bool = False) -> None:
        """Drop the call, in whatever state. `unanswered`: the worker let the deadline for its first result pass."""
        self._fail("CANCELLED")
        if unanswered:
            self._link.unanswered(self._batches)

    def _open(self, request: bytes) -> None:
        opening = link_pb2.CallOpen(
            request=request, timeout_ms=max(1, round(1000 * self._deadline)), traceparent=self._traceparent or ""
        )
        self._state = self._link.calls.open(opening, wake_reader=self._wake_reader, wake_writer=self._wake_writer)
        self._expiry = asyncio.get_running_loop().call_later(self._deadline, self._fail, "DEADLINE_EXCEEDED")

    def _check_size(self, request: bytes) -> None:
        """End the call if the request fits in no batch."""
        if len(request) + ENTRY_OVERHEAD > self._link.offer.max_batch_bytes:
            self._fail("RESOURCE_EXHAUSTED")

    @property
    def _is_over(self) -> bool:
        is_closed = self._state is not None and self._state.closed is not None
        return is_closed or self._writing_done or self._failure is not None or self._link.failure is not None

    def _check_open(self) -> None:
        if self._is_over:
            raise CallOver

    def _fail(self, status: str) -> None:
        """End the call from this side, if it is not over."""
        if self._failure is not None:
            return
        self._failure = CallFailed(status)
        self._take = None
        if self._expiry is not None:
            self._expiry.cancel()
        if self._state is not None:
            self._link.calls.cancel(self._state)
            self._link.writer.wake()
        self._wake_reader()
        self._wake_writer()

    def _parsed(self, result: bytes) -> task_pb2.TaskResult:
        try:
            return parse_result(result)
        except CallFailed as failure:
            self._fail(failure.status)
            raise

    def _check_status(self, closed: link_pb2.CallClosed) -> None:
        """Raise CallFailed unless the call was closed normally."""
        if self._expiry is not None:
            self._expiry.cancel()
        if closed.status_code:
            known = 0 <= closed.status_code < len(_STATUS_NAMES)
            error: error_pb2.Error | None = closed.error if closed.HasField("error") else None
            raise CallFailed(_STATUS_NAMES[closed.status_code] if known else "UNKNOWN", error=error)

    def _wake_reader(self) -> None:
        reader = self._readable
        if reader is None or reader.done():
            return
        try:
            is_needed = not self._pass_on(reader)
        except Exception as error:  # noqa: BLE001 (a bug in handling a result ends its stream, and not the link)
            if not reader.done():  # who ended the call has woken it
                reader.set_exception(error)
        else:
            if is_needed and not reader.done():
                reader.set_result(None)

    def _pass_on(self, reader: asyncio.Future[None]) -> bool:
        """Offer what came to `_take`; returns whether nothing is left for the reader, who waits."""
        state, has_passed = self._state, False
        while state is not None and self._take is not None and not reader.done():
            data = self._link.calls.take_result(state)
            if data is None:
                self._link.writer.wake()
                return has_passed and state.closed is None
            result = self._parsed(data)
            if not self._take(result):
                self._next = result
                break
            has_passed = True
        return False

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
