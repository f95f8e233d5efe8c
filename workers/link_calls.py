"""The calls of one link, without I/O: the gateway's entries come in, the worker's go into an outbox.

A gateway numbers its calls upwards. So an entry for a number that was used and is not open any more is merely late, and
is ignored; an entry for any other number breaks the rules. A breach ends the link with all its calls, because nothing
that its sender says can be trusted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError
from talkup.v1 import error_pb2, link_pb2

from multiplex.credit import CreditBreachError, ReceiveCredit, SendCredit
from multiplex.fields import BATCH_LEVELS, MAX_BATCH_FIELDS, FieldBound
from multiplex.outbox import MAX_ENTRIES, Outbox
from workers.engine import EngineError
from workers.errors import RefusedError, status_of, to_message

# google.rpc.Code.CANCELLED: no error of ours stands behind it.
_CANCELLED: Final = 1
_BATCH_FIELDS: Final = FieldBound(link_pb2.TaskBatch, MAX_BATCH_FIELDS, BATCH_LEVELS)
# Nine times what W3C's format takes. A longer context, which gRPC's metadata would refuse, counts as none.
_MAX_TRACEPARENT: Final = 512


def parse_batch(data: bytes) -> link_pb2.TaskBatch:
    """A batch as it came. Raises RefusedError for one that cannot be parsed, or has too many fields."""
    if _BATCH_FIELDS.is_exceeded(data):
        raise _too_many_entries()
    try:
        return link_pb2.TaskBatch.FromString(data)
    except DecodeError:
        raise _breach("", "not a TaskBatch") from None


def _nobody() -> None:
    """Until somebody waits."""


class CallState:
    """One call: what came and was not taken out yet, and what may still be sent.

    `changed` is called when there may be more to read or to write, and when the gateway has cancelled the call.
    """

    __slots__ = (
        "cancelled",
        "changed",
        "half_closed",
        "number",
        "received",
        "requests",
        "sent",
        "timeout_ms",
        "traceparent",
    )

    def __init__(self, number: int, opening: link_pb2.CallOpen) -> None:
        self.number = number
        self.timeout_ms = opening.timeout_ms
        self.traceparent = opening.traceparent if len(opening.traceparent) <= _MAX_TRACEPARENT else ""
        self.received = ReceiveCredit()
        self.sent = SendCredit()
        self.requests: deque[bytes] = deque((opening.request,))
        self.half_closed = False
        self.cancelled = False
        self.changed: Callable[[], None] = _nobody

    def cancel(self) -> None:
        """Drop the call. Only the first time counts: a second cancellation would break into the end of its session."""
        if not self.cancelled:
            self.cancelled = True
            self.changed()


class LinkCalls:
    """The calls of one link."""

    def __init__(self, max_batch_bytes: int) -> None:
        self.outbox: Outbox[link_pb2.TaskResultEntry] = Outbox(max_batch_bytes)
        self._open: dict[int, CallState] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def receive(self, batch: link_pb2.TaskBatch) -> list[CallState]:
        """Take the gateway's entries; returns the calls that they open.

        Raises RefusedError for a breach of the rules.
        """
        if len(batch.entries) > MAX_ENTRIES:
            raise _too_many_entries()
        opened: list[CallState] = []
        for entry in batch.entries:
            if entry.WhichOneof("entry") == "open":
                opened.append(self._opened(entry))
            elif (found := self._open.get(entry.call)) is not None:
                self._take(found, entry)
            elif not 0 < entry.call <= self._last:
                raise _breach("entries.call", "the call was never opened")
        return opened

    def take_request(self, state: CallState) -> bytes | None:
        """The next request of a call, for which the gateway gets credit back; None if there is none."""
        if not state.requests:
            return None
        request = state.requests.popleft()
        grant = state.received.consumed(len(request))
        if grant and not state.half_closed and state.number in self._open:
            self.outbox.put(link_pb2.TaskResultEntry(call=state.number, credit=grant))
        return request

    def result(self, state: CallState, result: bytes) -> None:
        """Send a result of an open call. Raises ValueError without credit."""
        state.sent.spend(len(result))
        self.outbox.put(link_pb2.TaskResultEntry(call=state.number, result=result), len(result))

    def close(self, state: CallState, refusal: EngineError | None = None) -> None:
        """Close a call: with OK, with the status of a refusal, or as cancelled."""
        if self._open.pop(state.number, None) is None:
            return
        closed = link_pb2.CallClosed()
        if state.cancelled:
            closed.status_code = _CANCELLED
        elif refusal is not None:
            closed.status_code = status_of(refusal.code).value[0]
            closed.error.CopyFrom(to_message(refusal, fatal=True))
        self.outbox.put(link_pb2.TaskResultEntry(call=state.number, closed=closed), closed.ByteSize())

    def _opened(self, entry: link_pb2.TaskEntry) -> CallState:
        if entry.call <= self._last:
            raise _breach("entries.call", "the numbers of calls must rise")
        self._last = entry.call
        state = self._open[entry.call] = CallState(entry.call, entry.open)
        state.received.received(len(entry.open.request))
        return state

    def _take(self, state: CallState, entry: link_pb2.TaskEntry) -> None:
        if state.cancelled:
            return
        try:
            match entry.WhichOneof("entry"):
                case "request" if not state.half_closed:
                    state.received.received(len(entry.request))
                    state.requests.append(entry.request)
                case "half_close":
                    state.half_closed = True
                case "cancel":
                    state.cancel()
                    return
                case "credit":
                    state.sent.granted(entry.credit)
                case _:
                    raise _breach("entries", "an entry carries open, request, half_close, cancel or credit")
        except CreditBreachError:
            raise _breach("entries", "a call breaks the rules of credit") from None
        state.changed()


def _too_many_entries() -> RefusedError:
    return _breach("entries", f"at most {MAX_ENTRIES}")


def _breach(field: str, message: str) -> RefusedError:
    return RefusedError(error_pb2.ERROR_CODE_BAD_MESSAGE, message, field=field)
