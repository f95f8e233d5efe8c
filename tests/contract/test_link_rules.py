"""Both ends of a link, without I/O, against each other: in whatever order, no breach, no mix-up, no deadlock.

The invariant: each side takes out what the other one put in, per call, in order, all of it; a receiver never holds more
than the initial credit and one message; once everything is taken out, every call may send again.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from talkup.v1 import error_pb2, link_pb2

import gateway.upstream.link_calls as gateway_side
import workers.link_calls as worker_side
from multiplex.credit import INITIAL_CREDIT
from multiplex.outbox import MAX_ENTRIES
from workers.errors import RefusedError

MAX_BATCH = 65_536
MAX_MESSAGE = 50_000
SIZES = st.sampled_from([0, 1, 500, 20_000, MAX_MESSAGE])
ROOM = 5


def nobody() -> None:
    """Nobody waits here."""


@dataclass
class Pair:
    """One call as both ends see it, and what each has sent and received."""

    near: gateway_side.CallState
    far: worker_side.CallState | None = None
    requests: list[bytes] = field(default_factory=list)
    results: list[bytes] = field(default_factory=list)
    requests_taken: list[bytes] = field(default_factory=list)
    results_taken: list[bytes] = field(default_factory=list)
    half_closed: bool = False
    closed: bool = False
    dropped: bool = False

    @property
    def over(self) -> bool:
        return self.closed or self.dropped


class Links(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.near = gateway_side.LinkCalls(MAX_BATCH)
        self.far = worker_side.LinkCalls(MAX_BATCH)
        self.pairs: dict[int, Pair] = {}
        self.down: list[link_pb2.TaskBatch] = []
        self.up: list[link_pb2.TaskResultBatch] = []
        self.made = 0

    def message(self, size: int) -> bytes:
        self.made += 1
        return self.made.to_bytes(4, "big") + bytes(size)

    def pick(self, number: int) -> Pair | None:
        alive = [pair for pair in self.pairs.values() if not pair.over]
        return alive[number % len(alive)] if alive else None

    @rule(size=SIZES)
    @precondition(lambda self: sum(not pair.over for pair in self.pairs.values()) < ROOM)
    def open(self, size: int) -> None:
        request = self.message(size)
        state = self.near.open(link_pb2.CallOpen(request=request), wake_reader=nobody, wake_writer=nobody)
        assert state.number not in self.pairs
        self.pairs[state.number] = Pair(state, requests=[request])

    @rule(which=st.integers(0, 9), size=SIZES)
    def request(self, which: int, size: int) -> None:
        pair = self.pick(which)
        if pair is not None and pair.near.sent.open and not pair.half_closed and not self.near.outbox.full:
            pair.requests.append(self.message(size))
            self.near.request(pair.near, pair.requests[-1])

    @rule(which=st.integers(0, 9))
    def half_close(self, which: int) -> None:
        pair = self.pick(which)
        if pair is not None and not pair.half_closed:
            pair.half_closed = True
            self.near.half_close(pair.near)

    @rule(which=st.integers(0, 9))
    def cancel(self, which: int) -> None:
        pair = self.pick(which)
        if pair is not None:
            pair.dropped = True
            self.near.cancel(pair.near)

    @rule(which=st.integers(0, 9), size=SIZES)
    def result(self, which: int, size: int) -> None:
        pair = self.pick(which)
        if pair is not None and pair.far is not None and pair.far.sent.open and not self.far.outbox.full:
            pair.results.append(self.message(size))
            self.far.result(pair.far, pair.results[-1])

    @rule(which=st.integers(0, 9))
    def close(self, which: int) -> None:
        pair = self.pick(which)
        if pair is not None and pair.far is not None:
            pair.closed = True
            self.far.close(pair.far)

    @rule(which=st.integers(0, 9))
    def take_request(self, which: int) -> None:
        pair = self.pick(which)
        if pair is not None and pair.far is not None and (data := self.far.take_request(pair.far)) is not None:
            pair.requests_taken.append(data)

    @rule(which=st.integers(0, 9))
    def take_result(self, which: int) -> None:
        pair = self.pick(which)
        if pair is not None and (data := self.near.take_result(pair.near)) is not None:
            pair.results_taken.append(data)

    @rule()
    def send_down(self) -> None:
        if self.near.outbox:
            self.down.append(link_pb2.TaskBatch.FromString(gateway_side.serialised_batch(self.near.outbox.take())))

    @rule()
    def send_up(self) -> None:
        if self.far.outbox:
            self.up.append(link_pb2.TaskResultBatch(entries=self.far.outbox.take()))

    @rule()
    def arrive_down(self) -> None:
        if self.down:
            for state in self.far.receive(self.down.pop(0)):
                self.pairs[state.number].far = state
            self.end_cancelled()

    @rule()
    def arrive_up(self) -> None:
        if self.up:
            for entry in self.up.pop(0).entries:
                self.near.receive(entry)

    def end_cancelled(self) -> None:
        """The worker ends what the gateway has dropped."""
        for pair in self.pairs.values():
            if pair.far is not None and pair.far.cancelled:
                self.far.close(pair.far)

    @rule()
    def settle(self) -> None:
        """Carry everything over and take everything out: then nothing may be stuck."""
        moved = True
        while moved:
            moved = self.take_everything()
            while self.near.outbox or self.far.outbox or self.down or self.up:
                moved = True
                self.send_down()
                self.arrive_down()
                self.send_up()
                self.arrive_up()
        for pair in self.pairs.values():
            if not pair.over:
                assert pair.far is not None
                assert pair.near.sent.open or pair.half_closed
                assert pair.far.sent.open
                assert pair.requests_taken == pair.requests
            if not pair.dropped:
                assert pair.results_taken == pair.results
                assert (pair.near.closed is not None) == pair.closed
        alive = sum(not pair.over for pair in self.pairs.values())
        assert len(self.near) == len(self.far) == alive

    def take_everything(self) -> bool:
        before = self.taken()
        for pair in self.pairs.values():
            while not pair.over and pair.far is not None and (data := self.far.take_request(pair.far)) is not None:
                pair.requests_taken.append(data)
            while not pair.dropped and (data := self.near.take_result(pair.near)) is not None:
                pair.results_taken.append(data)
        return self.taken() > before

    def taken(self) -> int:
        return sum(len(pair.requests_taken) + len(pair.results_taken) for pair in self.pairs.values())

    @invariant()
    def order_is_kept(self) -> None:
        for pair in self.pairs.values():
            assert pair.requests[: len(pair.requests_taken)] == pair.requests_taken
            assert pair.results[: len(pair.results_taken)] == pair.results_taken

    @invariant()
    def little_is_held(self) -> None:
        bound = INITIAL_CREDIT + MAX_MESSAGE + 4
        for pair in self.pairs.values():
            assert sum(map(len, pair.near.results)) <= bound
            if pair.far is not None:
                assert sum(map(len, pair.far.requests)) <= bound


Links.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestLinks = Links.TestCase


def opening(number: int, size: int = 10) -> link_pb2.TaskEntry:
    return link_pb2.TaskEntry(call=number, open=link_pb2.CallOpen(request=bytes(size)))


def request(number: int, size: int = 10) -> link_pb2.TaskEntry:
    return link_pb2.TaskEntry(call=number, request=bytes(size))


@pytest.mark.parametrize(
    ("entries", "field_name"),
    [
        ([request(1)], "entries.call"),
        ([opening(0)], "entries.call"),
        ([opening(2), opening(2)], "entries.call"),
        ([opening(2), opening(1)], "entries.call"),
        ([opening(1), request(2)], "entries.call"),
        ([opening(1, INITIAL_CREDIT), request(1)], "entries"),
        ([opening(1), link_pb2.TaskEntry(call=1, credit=1)], "entries"),
        ([opening(1), link_pb2.TaskEntry(call=1, credit=2**32 - 1)], "entries"),
        ([opening(1), link_pb2.TaskEntry(call=1, half_close=link_pb2.CallHalfClose()), request(1)], "entries"),
        ([opening(1), link_pb2.TaskEntry(call=1)], "entries"),
        ([link_pb2.TaskEntry()], "entries.call"),
        ([opening(1)] + [request(1, 0)] * MAX_ENTRIES, "entries"),
    ],
)
def test_a_breach_of_the_gateway_names_the_field(entries: list[link_pb2.TaskEntry], field_name: str) -> None:
    calls = worker_side.LinkCalls(MAX_BATCH)
    with pytest.raises(RefusedError) as breach:
        calls.receive(link_pb2.TaskBatch(entries=entries))
    assert (breach.value.code, breach.value.field) == (error_pb2.ERROR_CODE_BAD_MESSAGE, field_name)


@pytest.mark.parametrize(("length", "kept"), [(55, 55), (512, 512), (513, 0)])
def test_a_trace_context_that_is_too_long_counts_as_none(length: int, kept: int) -> None:
    entry = link_pb2.TaskEntry(call=1, open=link_pb2.CallOpen(traceparent="0" * length))
    (state,) = worker_side.LinkCalls(MAX_BATCH).receive(link_pb2.TaskBatch(entries=[entry]))
    assert len(state.traceparent) == kept


def test_entries_for_a_call_that_is_over_are_late_and_ignored() -> None:
    calls = worker_side.LinkCalls(MAX_BATCH)
    (state,) = calls.receive(link_pb2.TaskBatch(entries=[opening(1)]))
    calls.close(state)
    assert calls.receive(link_pb2.TaskBatch(entries=[request(1, 2 * INITIAL_CREDIT), request(1)])) == []
    assert len(calls) == 0


@pytest.mark.parametrize(
    "entries",
    [
        [link_pb2.TaskResultEntry(call=2, result=b"x")],
        [link_pb2.TaskResultEntry(call=0, result=b"x")],
        [link_pb2.TaskResultEntry(call=1, result=bytes(INITIAL_CREDIT)), link_pb2.TaskResultEntry(call=1, result=b"x")],
        [link_pb2.TaskResultEntry(call=1, credit=INITIAL_CREDIT)],
        [link_pb2.TaskResultEntry(call=1)],
    ],
)
def test_a_breach_of_the_worker_is_recognised(entries: list[link_pb2.TaskResultEntry]) -> None:
    calls = gateway_side.LinkCalls(MAX_BATCH)
    calls.open(link_pb2.CallOpen(request=b"start"), wake_reader=nobody, wake_writer=nobody)
    for entry in entries[:-1]:
        calls.receive(entry)
    with pytest.raises(gateway_side.LinkBreachError):
        calls.receive(entries[-1])


@pytest.mark.parametrize("data", [b"\x0a\x02\x08\x01" * 20_000, b"\x0a\x02\x08", b"\xff" * 70_000])
def test_neither_end_takes_a_batch_that_is_none(data: bytes) -> None:
    with pytest.raises(gateway_side.LinkBreachError):
        gateway_side.parse_batch(data)
    with pytest.raises(RefusedError):
        worker_side.parse_batch(data)


def test_the_error_of_a_closed_call_counts_in_the_size_of_a_batch() -> None:
    calls = worker_side.LinkCalls(MAX_BATCH)
    states = calls.receive(link_pb2.TaskBatch(entries=[opening(number) for number in range(1, 101)]))
    for state in states:
        calls.close(state, RefusedError(error_pb2.ERROR_CODE_BAD_MESSAGE, "m" * 1_000, field="f" * 100))
    closed = 0
    while entries := calls.outbox.take():
        assert link_pb2.TaskResultBatch(entries=entries).ByteSize() <= MAX_BATCH
        closed += len(entries)
    assert closed == len(states)


ANYTHING = st.lists(
    st.builds(
        lambda call, kind, number, data: link_pb2.TaskEntry(
            call=call,
            **{
                "open": {"open": link_pb2.CallOpen(request=data)},
                "request": {"request": data},
                "half_close": {"half_close": link_pb2.CallHalfClose()},
                "cancel": {"cancel": link_pb2.CallCancel()},
                "credit": {"credit": number},
                "nothing": {},
            }[kind],
        ),
        st.integers(0, 6),
        st.sampled_from(["open", "request", "half_close", "cancel", "credit", "nothing"]),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=40),
    ),
    max_size=20,
)


@given(ANYTHING)
def test_whatever_a_gateway_sends_gives_calls_or_a_typed_refusal(entries: list[link_pb2.TaskEntry]) -> None:
    calls = worker_side.LinkCalls(MAX_BATCH)
    seen: defaultdict[int, int] = defaultdict(int)
    with suppress(RefusedError):
        for state in calls.receive(link_pb2.TaskBatch(entries=entries)):
            seen[state.number] += 1
    assert all(count == 1 for count in seen.values())
    assert len(calls) >= len(seen)
