"""What is fuzzed of a link: the batches that a worker gets from a gateway, and a gateway from a worker."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.message import Message
from talkup.v1 import error_pb2, link_pb2, task_pb2

from bench.fuzz.loop import Target
from gateway.upstream import link_calls as gateway_calls
from multiplex.credit import INITIAL_CREDIT, MESSAGE_COST
from workers import link_calls as worker_calls
from workers.errors import RefusedError

_BATCH_BYTES = 4 * 1024 * 1024
_REQUEST = task_pb2.TaskRequest(start=task_pb2.StreamStart()).SerializeToString()


class UnboundedError(AssertionError):
    """A call holds more than its credit allows."""


def link_targets() -> tuple[Target, ...]:
    """Both directions."""
    refusals, breaches = (RefusedError,), (gateway_calls.LinkBreachError,)
    return (
        Target("link from a gateway", _run_worker, _gateway_seeds(), refusals, (worker_calls.__name__,)),
        Target("link from a worker", _run_gateway, _worker_seeds(), breaches, (gateway_calls.__name__,)),
    )


def _run_worker(data: bytes) -> None:
    """Byte 0 says how many requests each call takes out after every batch; two batches follow, cut at byte 1."""
    taken, batches = _cut(data)
    calls, states = worker_calls.LinkCalls(_BATCH_BYTES), []
    for batch in batches:
        states += calls.receive(worker_calls.parse_batch(batch))
        for state in states:
            _check_bound(state.requests)
            for _ in range(taken):
                calls.take_request(state)
    for state in states:
        calls.close(state)
    if len(calls):
        raise UnboundedError("a call stays open after its end")


def _run_gateway(data: bytes) -> None:
    """The same from the other end, for a gateway with three open calls, of which one is cancelled."""
    taken, batches = _cut(data)
    calls = gateway_calls.LinkCalls(_BATCH_BYTES)
    opening = link_pb2.CallOpen(request=_REQUEST)
    states = [calls.open(opening, wake_reader=_nobody, wake_writer=_nobody) for _ in range(3)]
    calls.cancel(states[2])
    for batch in batches:
        for entry in gateway_calls.parse_batch(batch).entries:
            calls.receive(entry)
        for state in states:
            _check_bound(state.results)
            for _ in range(taken):
                calls.take_result(state)


def _cut(data: bytes) -> tuple[int, tuple[bytes, bytes]]:
    if len(data) < 2:
        return 0, (b"", b"")
    return data[0] % 4, (data[2 : 2 + data[1]], data[2 + data[1] :])


def _check_bound(waiting: Iterable[bytes]) -> None:
    """What waits, but for the message that overdrew the credit, is within it."""
    costs = [len(message) + MESSAGE_COST for message in waiting]
    if sum(costs[:-1]) > INITIAL_CREDIT:
        raise UnboundedError("more waits for a call than its credit allows")


def _gateway_seeds() -> list[bytes]:
    entry = link_pb2.TaskEntry
    first = [
        entry(call=1, open=link_pb2.CallOpen(request=_REQUEST, timeout_ms=9, traceparent="00-a-b-01")),
        entry(call=2, open=link_pb2.CallOpen(request=_REQUEST)),
        entry(call=1, request=_REQUEST),
    ]
    second = [
        entry(call=2, cancel=link_pb2.CallCancel()),
        entry(call=2, request=_REQUEST),
        entry(call=1, credit=0),
        entry(call=1, half_close=link_pb2.CallHalfClose()),
    ]
    return [_seed(link_pb2.TaskBatch(entries=first), link_pb2.TaskBatch(entries=second))]


def _worker_seeds() -> list[bytes]:
    entry = link_pb2.TaskResultEntry
    error = error_pb2.Error(code=error_pb2.ERROR_CODE_INTERNAL, message="m")
    first = [entry(call=1, result=b"result"), entry(call=2, credit=64), entry(call=3, result=b"late")]
    second = [entry(call=2, closed=link_pb2.CallClosed(status_code=13, error=error)), entry(call=1, result=b"more")]
    return [_seed(link_pb2.TaskResultBatch(entries=first), link_pb2.TaskResultBatch(entries=second))]


def _seed(first: Message, second: Message) -> bytes:
    data = first.SerializeToString()
    return bytes([1, len(data)]) + data + second.SerializeToString()


def _nobody() -> None:
    """Nobody waits."""
