"""The calls of one link to a worker, without I/O: entries for the worker go into an outbox, the worker's come in.

A call is opened, sends requests while it has credit, and ends with `closed`. Numbers rise, so that an entry for a number
that was used before and is not open any more is late, and an entry for any other number is a breach.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from talkup.v1 import link_pb2

from multiplex.credit import CreditBreachError, ReceiveCredit, SendCredit
from multiplex.outbox import Outbox

_MAX_WAITING_BYTES: Final = 256 * 1024


class LinkBreachError(Exception):
    """The worker breaks the rules of the link. The text is one of a few words, for logs and metrics."""


class CallState:
    """One call: what the worker has sent for it, and what may still be sent."""

    __slots__ = ("closed", "credit", "number", "results", "returned", "wake")

    def __init__(self, number: int) -> None:
        self.number = number
        self.credit = SendCredit()
        self.returned = ReceiveCredit()
        self.results: deque[bytes] = deque()
        self.closed: link_pb2.CallClosed | None = None
        self.wake: Callable[[], None] = _nobody


def _nobody() -> None:
    """Until somebody waits."""


class LinkCalls:
    """All calls of one link."""

    def __init__(self, max_batch_bytes: int) -> None:
        self.outbox: Outbox[link_pb2.TaskEntry] = Outbox(max_batch_bytes, _MAX_WAITING_BYTES)
        self._open: dict[int, CallState] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def open(self, request: bytes, timeout_ms: int, traceparent: str | None) -> CallState:
        """Open a call with its first request."""
        self._last += 1
        state = CallState(self._last)
        self._open[state.number] = state
        state.credit.spend(len(request))
        opening = link_pb2.CallOpen(request=request, timeout_ms=timeout_ms, traceparent=traceparent or "")
        self.outbox.put(link_pb2.TaskEntry(call=state.number, open=opening), len(request))
        return state

    def may_send(self, state: CallState) -> bool:
        """Whether a request of the call may be sent now."""
        return state.credit.open and not self.outbox.full

    def request(self, state: CallState, request: bytes) -> None:
        """Send a request. Raises ValueError without credit."""
        state.credit.spend(len(request))
        self.outbox.put(link_pb2.TaskEntry(call=state.number, request=request), len(request))

    def half_close(self, state: CallState) -> None:
        """No further request follows."""
        self.outbox.put(link_pb2.TaskEntry(call=state.number, half_close=link_pb2.CallHalfClose()))

    def cancel(self, state: CallState) -> None:
        """Drop a call that is not over."""
        if self._open.pop(state.number, None) is not None:
            self.outbox.put(link_pb2.TaskEntry(call=state.number, cancel=link_pb2.CallCancel()))

    def take_result(self, state: CallState) -> bytes | None:
        """The next result of a call, whose room the worker gets back; None if there is none."""
        if not state.results:
            return None
        result = state.results.popleft()
        grant = state.returned.consumed(len(result))
        if grant and state.closed is None:
            self.outbox.put(link_pb2.TaskEntry(call=state.number, credit=grant))
        return result

    def receive(self, entry: link_pb2.TaskResultEntry) -> None:
        """Take an entry of the worker. Raises LinkBreachError."""
        number = entry.call
        state = self._open.get(number)
        if state is None:
            if not 0 < number <= self._last:
                raise LinkBreachError("unknown_call")
            return
        try:
            match entry.WhichOneof("entry"):
                case "result":
                    state.returned.received(len(entry.result))
                    state.results.append(entry.result)
                case "credit":
                    state.credit.granted(entry.credit)
                case "closed":
                    state.closed = entry.closed
                    del self._open[number]
                case _:
                    raise LinkBreachError("unknown_entry")
        except CreditBreachError:
            raise LinkBreachError("credit") from None
        state.wake()
