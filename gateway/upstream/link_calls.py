"""The calls of one link to a worker, without I/O: the gateway's entries go into an outbox, the worker's come in.

A call is opened by its first request, sends more while it has credit, and is over with `closed` or once it is
cancelled. Numbers rise. So an entry for a number that was used and is not open any more is merely late, and is ignored;
an entry for any other number breaks the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError
from talkup.v1 import link_pb2

from multiplex.credit import CreditBreachError, ReceiveCredit, SendCredit
from multiplex.fields import BATCH_LEVELS, MAX_BATCH_FIELDS, FieldBound
from multiplex.outbox import Outbox

_BATCH_FIELDS: Final = FieldBound(link_pb2.TaskResultBatch, MAX_BATCH_FIELDS, BATCH_LEVELS)


class LinkBreachError(Exception):
    """The worker breaks the rules of the link."""


def parse_batch(data: bytes) -> link_pb2.TaskResultBatch:
    """A batch as it came. Raises LinkBreachError for one that cannot be parsed, or has too many fields."""
    if _BATCH_FIELDS.is_exceeded(data):
        raise LinkBreachError("a batch has too many entries")
    try:
        return link_pb2.TaskResultBatch.FromString(data)
    except DecodeError:
        raise LinkBreachError("a batch cannot be parsed") from None


class Request(NamedTuple):
    """A serialised TaskRequest of an open call. It becomes an entry only in its batch, which spares a copy."""

    call: int
    data: bytes


Outgoing: TypeAlias = link_pb2.TaskEntry | Request


def serialised_batch(entries: Iterable[Outgoing]) -> bytes:
    """The TaskBatch of these entries."""
    batch = link_pb2.TaskBatch()
    for entry in entries:
        if isinstance(entry, Request):
            added = batch.entries.add()
            added.call, added.request = entry
        else:
            batch.entries.append(entry)
    return batch.SerializeToString()


class CallState:
    """One call: what came and was not taken out yet, and what may still be sent.

    `wake_reader` and `wake_writer` are called when there may be more to read or to write.
    """

    __slots__ = ("closed", "number", "received", "results", "sent", "wake_reader", "wake_writer")

    def __init__(self, number: int, wake_reader: Callable[[], None], wake_writer: Callable[[], None]) -> None:
        self.number = number
        self.sent = SendCredit()
        self.received = ReceiveCredit()
        # A list and not a deque, which takes ten times the memory while it is empty; few results wait at a time.
        self.results: list[bytes] = []
        self.closed: link_pb2.CallClosed | None = None
        self.wake_reader = wake_reader
        self.wake_writer = wake_writer


class LinkCalls:
    """The calls of one link."""

    def __init__(self, max_batch_bytes: int) -> None:
        self.outbox: Outbox[Outgoing] = Outbox(max_batch_bytes)
        self._open: dict[int, CallState] = {}
        self._last = 0

    def __len__(self) -> int:
        return len(self._open)

    def states(self) -> list[CallState]:
        """Every call that is not over."""
        return list(self._open.values())

    def open(
        self,
        opening: link_pb2.CallOpen,
        *,
        wake_reader: Callable[[], None],
        wake_writer: Callable[[], None],
    ) -> CallState:
        """Open a call with its first request."""
        self._last += 1
        state = self._open[self._last] = CallState(self._last, wake_reader, wake_writer)
        size = len(opening.request)
        state.sent.spend(size)
        self.outbox.put(link_pb2.TaskEntry(call=state.number, open=opening), size)
        return state

    def request(self, state: CallState, request: bytes) -> None:
        """Send a request of an open call. Raises ValueError without credit."""
        state.sent.spend(len(request))
        self.outbox.put(Request(state.number, request), len(request))

    def half_close(self, state: CallState) -> None:
        """No further request of this open call follows."""
        self.outbox.put(link_pb2.TaskEntry(call=state.number, half_close=link_pb2.CallHalfClose()))

    def cancel(self, state: CallState) -> None:
        """Drop a call; one that is over stays as it is."""
        if self._open.pop(state.number, None) is not None:
            self.outbox.put(link_pb2.TaskEntry(call=state.number, cancel=link_pb2.CallCancel()))

    def take_result(self, state: CallState) -> bytes | None:
        """The next result of a call, for which the worker gets credit back; None if there is none."""
        if not state.results:
            return None
        result = state.results.pop(0)
        grant = state.received.consumed(len(result))
        if grant and state.number in self._open:
            self.outbox.put(link_pb2.TaskEntry(call=state.number, credit=grant))
        return result

    def receive(self, entry: link_pb2.TaskResultEntry) -> None:
        """Take an entry of the worker. Raises LinkBreachError."""
        state = self._open.get(entry.call)
        if state is None:
            if not 0 < entry.call <= self._last:
                raise LinkBreachError(f"call {entry.call} was never opened")
            return
        try:
            self._take(state, entry)
        except CreditBreachError:
            raise LinkBreachError(f"call {entry.call} breaks the rules of credit") from None

    def _take(self, state: CallState, entry: link_pb2.TaskResultEntry) -> None:
        match entry.WhichOneof("entry"):
            case "result":
                state.received.received(len(entry.result))
                state.results.append(entry.result)
                state.wake_reader()
            case "credit":
                state.sent.granted(entry.credit)
                state.wake_writer()
            case "closed":
                state.closed = entry.closed
                del self._open[state.number]
                state.wake_reader()
                state.wake_writer()
            case _:
                raise LinkBreachError(f"an entry of call {entry.call} has no meaning")
