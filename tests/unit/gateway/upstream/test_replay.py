"""The replay buffer: nothing handed out twice in an attempt, nothing out of order, nothing lost without a report."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from talkup.v1 import media_pb2, task_pb2

from gateway.upstream.replay import Gap, ReplayBuffer

OVERHEAD = 256


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def chunk(sequence: int, missing: int = 0, size: int = 0) -> task_pb2.TaskRequest:
    return task_pb2.TaskRequest(chunk=media_pb2.Chunk(sequence=sequence, missing_before=missing, payload=b"x" * size))


def flush(flush_id: int) -> task_pb2.TaskRequest:
    return task_pb2.TaskRequest(flush=task_pb2.StreamFlush(flush_id=flush_id))


END = task_pb2.TaskRequest(end=task_pb2.StreamEnd())


def progress(committed: int | None, replay_from: int, state: bytes = b"s") -> task_pb2.Progress:
    return task_pb2.Progress(committed_sequence=committed, replay_from_sequence=replay_from, resume_state=state)


def next_of(buffer: ReplayBuffer, attempt: int = 1) -> task_pb2.TaskRequest | None:
    """The next request as its worker reads it."""
    request = buffer.next_request(attempt)
    if request is None:
        return None
    parsed = task_pb2.TaskRequest.FromString(request.data)
    assert (parsed.WhichOneof("payload"), parsed.attempt) == (request.kind, attempt)
    return parsed


def drain(buffer: ReplayBuffer, attempt: int = 1) -> list[tuple[str | int, int]]:
    """Everything waiting, as (sequence or name, missing_before)."""
    out: list[tuple[str | int, int]] = []
    while (request := next_of(buffer, attempt)) is not None:
        if request.HasField("chunk"):
            out.append((request.chunk.sequence, request.chunk.missing_before))
        else:
            out.append((request.WhichOneof("payload") or "", 0))
    return out


def test_a_new_attempt_begins_at_replay_from() -> None:
    buffer = ReplayBuffer(10_000, 60)
    for sequence in range(5):
        buffer.offer(chunk(sequence))
    assert drain(buffer) == [(n, 0) for n in range(5)]
    assert buffer.commit(progress(2, 2, b"here"))
    assert (buffer.committed, buffer.replay_from, buffer.resume_state) == (2, 2, b"here")
    buffer.begin_attempt()
    assert drain(buffer, 2) == [(2, 0), (3, 0), (4, 0)]


def test_every_request_has_the_fields_of_start_and_the_number_of_its_attempt() -> None:
    head = {"session_id": "s", "stream_id": "a", "service_type": task_pb2.SERVICE_TYPE_STT, "protocol_version": "1.0"}
    start = task_pb2.TaskRequest(**head, attempt=7, start=task_pb2.StreamStart(resume_state=b"here"))
    buffer = ReplayBuffer(10_000, 60, start=start)
    assert buffer.resume_state == b"here"
    for offered in (chunk(3, missing=1, size=10), flush(1), END):
        buffer.offer(offered)
    for attempt in (8, 9):
        for offered in (chunk(3, missing=1, size=10), flush(1), END):
            expected = task_pb2.TaskRequest(**head, attempt=attempt)
            expected.MergeFrom(offered)
            assert next_of(buffer, attempt) == expected
        buffer.begin_attempt()


def test_without_progress_everything_is_read_again_without_a_state() -> None:
    buffer = ReplayBuffer(10_000, 60)
    buffer.offer(chunk(0))
    drain(buffer)
    buffer.begin_attempt()
    assert (drain(buffer), buffer.resume_state) == ([(0, 0)], b"")


def test_progress_never_goes_back_nor_ahead_of_what_was_handed_out() -> None:
    buffer = ReplayBuffer(10_000, 60)
    for sequence in range(5):
        buffer.offer(chunk(sequence))
    for _ in range(3):
        buffer.next_request(1)
    assert buffer.commit(progress(1, 2))
    assert not buffer.commit(progress(0, 1))
    buffer.commit(progress(2, 4, b"ahead"))
    assert (buffer.committed, buffer.replay_from, buffer.resume_state) == (2, 2, b"s")


def test_unanswered_flushes_and_the_end_keep_their_places() -> None:
    buffer = ReplayBuffer(10_000, 60)
    for request in (chunk(0), flush(1), chunk(1), flush(2), chunk(2), END):
        buffer.offer(request)
    drain(buffer)
    buffer.answer_flush(1)
    buffer.commit(progress(0, 1))
    buffer.begin_attempt()
    assert drain(buffer) == [(1, 0), ("flush", 0), (2, 0), ("end", 0)]
    buffer.commit(progress(2, 3))
    buffer.begin_attempt()
    assert drain(buffer) == [("flush", 0), ("end", 0)]


def test_chunks_never_handed_out_are_lost_at_the_bound() -> None:
    buffer = ReplayBuffer(3 * OVERHEAD, 60)
    for sequence in range(5):
        buffer.offer(chunk(sequence))
    assert drain(buffer) == [(2, 2), (3, 0), (4, 0)]
    assert buffer.take_gaps() == [Gap(0, 1)]
    assert buffer.take_gaps() == []


def test_chunks_that_a_worker_has_are_at_risk_and_lost_only_with_it() -> None:
    buffer = ReplayBuffer(3 * OVERHEAD, 60)
    for sequence in range(5):
        buffer.offer(chunk(sequence))
        buffer.next_request(1)
    assert buffer.take_gaps() == []
    buffer.commit(progress(0, 1))
    buffer.begin_attempt()
    assert drain(buffer, 2) == [(2, 1), (3, 0), (4, 0)]
    assert buffer.take_gaps() == [Gap(1, 1)]
    buffer.begin_attempt()
    assert drain(buffer, 3) == [(2, 1), (3, 0), (4, 0)]
    assert buffer.take_gaps() == []


def test_the_bound_in_seconds() -> None:
    clock = Clock()
    buffer = ReplayBuffer(10_000, 10, clock)
    for sequence in range(3):
        buffer.offer(chunk(sequence))
        clock.now += 6
    assert drain(buffer) == [(1, 1), (2, 0)]


def test_the_latest_flush_outlives_the_chunks_around_it() -> None:
    buffer = ReplayBuffer(4 * OVERHEAD, 60)
    buffer.offer(flush(1))
    for sequence in range(2):
        buffer.offer(chunk(sequence))
    buffer.offer(flush(2))
    for sequence in range(2, 6):
        buffer.offer(chunk(sequence))
    assert drain(buffer) == [("flush", 0), (3, 3), (4, 0), (5, 0)]
    buffer.offer(chunk(6))
    buffer.begin_attempt()
    assert drain(buffer, 2) == [("flush", 0), (4, 4), (5, 0), (6, 0)]
    assert buffer.take_gaps() == [Gap(3, 3), Gap(0, 2)]


def test_a_flush_older_than_the_bound_stays() -> None:
    clock = Clock()
    buffer = ReplayBuffer(10_000, 10, clock)
    buffer.offer(chunk(0))
    buffer.offer(flush(1))
    drain(buffer)
    clock.now = 11
    buffer.offer(chunk(1))
    buffer.begin_attempt()
    assert drain(buffer, 2) == [("flush", 0), (1, 1)]


def test_an_offered_chunk_is_never_changed() -> None:
    """A later attempt begins at a commit: it must not report the loss that an earlier attempt reported."""
    buffer = ReplayBuffer(3 * OVERHEAD, 60)
    offered = [chunk(sequence) for sequence in range(5)]
    for request in offered:
        buffer.offer(request)
    assert drain(buffer) == [(2, 2), (3, 0), (4, 0)]
    buffer.commit(progress(1, 2))
    buffer.begin_attempt()
    assert drain(buffer, 2) == [(2, 0), (3, 0), (4, 0)]
    assert [request.chunk for request in offered] == [chunk(sequence).chunk for sequence in range(5)]


def test_one_chunk_always_fits() -> None:
    buffer = ReplayBuffer(1, 60)
    buffer.offer(chunk(0, size=1000))
    assert drain(buffer) == [(0, 0)]


def test_a_gap_on_the_way_to_the_gateway_is_passed_on() -> None:
    buffer = ReplayBuffer(10_000, 60)
    buffer.offer(chunk(3, missing=3))
    buffer.offer(chunk(6, missing=2))
    assert drain(buffer) == [(3, 3), (6, 2)]
    assert buffer.take_gaps() == []


def test_behind_counts_what_waits() -> None:
    clock = Clock()
    buffer = ReplayBuffer(10_000, 60, clock)
    buffer.offer(chunk(0, size=100))
    clock.now = 1.5
    buffer.offer(chunk(1, size=50))
    assert (buffer.behind_bytes, buffer.behind_ms) == (150 + 2 * OVERHEAD, 1500)
    drain(buffer)
    assert (buffer.behind_bytes, buffer.behind_ms, buffer.retained_bytes) == (0, 0, 150 + 2 * OVERHEAD)


def test_a_loss_told_before_is_not_told_again_with_its_neighbours() -> None:
    buffer = ReplayBuffer(8 * OVERHEAD, 60)
    for sequence in range(6):
        buffer.offer(chunk(sequence))
    buffer.next_request(1)
    for sequence in range(6, 10):
        buffer.offer(chunk(sequence))
    buffer.next_request(1)
    assert buffer.take_gaps() == [Gap(1, 1)]
    buffer.begin_attempt()
    buffer.offer(chunk(10))
    assert drain(buffer, 2)[0] == (3, 3)
    assert buffer.take_gaps() == [Gap(0, 0), Gap(2, 2)]


class AnyInterleaving(RuleBasedStateMachine):
    """Offers, writes, commits and failovers in any order, with a bound that is often hit."""

    def __init__(self) -> None:
        super().__init__()
        self.bound = 8 * OVERHEAD
        self.buffer = ReplayBuffer(self.bound, 60, Clock())
        self.offered = 0
        self.attempt = 1
        self.handed_out: list[int] = []
        self.committed = -1
        self.replay_from = 0
        self.declared: set[int] = set()
        self.finals: list[int] = []
        self.flushes = self.flush_owed = self.flush_at_worker = 0

    @rule(count=st.integers(1, 5))
    def offer(self, count: int) -> None:
        for _ in range(count):
            self.buffer.offer(chunk(self.offered))
            self.offered += 1

    @rule()
    def ask_for_finals(self) -> None:
        self.flushes += 1
        self.flush_owed = self.flushes
        self.buffer.offer(flush(self.flushes))

    @precondition(lambda self: self.flush_at_worker)
    @rule()
    def answer(self) -> None:
        self.buffer.answer_flush(self.flush_at_worker)
        if self.flush_at_worker == self.flush_owed:
            self.flush_owed = 0
        self.flush_at_worker = 0

    @rule(count=st.integers(1, 12))
    def write(self, count: int) -> None:
        for _ in range(count):
            request = next_of(self.buffer, self.attempt)
            if request is None:
                return
            for gap in self.buffer.take_gaps():
                fresh = set(range(gap.first, gap.last + 1))
                assert not fresh & self.declared, "a loss is declared once"
                self.declared |= fresh
            if request.HasField("flush"):
                self.flush_at_worker = request.flush.flush_id
                continue
            expected = self.handed_out[-1] + 1 if self.handed_out else self.replay_from
            sequence = request.chunk.sequence
            assert sequence == expected + request.chunk.missing_before, "in order, once, and a jump is reported"
            skipped = set(range(max(expected, self.committed + 1), sequence))
            assert skipped <= self.declared, "a jump over uncommitted chunks is declared"
            self.handed_out.append(sequence)

    @precondition(lambda self: self.handed_out and self.handed_out[-1] > self.committed)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        committed = data.draw(st.integers(self.committed + 1, self.handed_out[-1]))
        self.replay_from = data.draw(st.integers(self.replay_from, committed + 1))
        self.finals += [n for n in self.handed_out if self.committed < n <= committed]
        self.committed = committed
        assert self.buffer.commit(progress(committed, self.replay_from))

    @rule()
    def fail_over(self) -> None:
        self.attempt += 1
        self.handed_out = []
        self.flush_at_worker = 0
        self.buffer.begin_attempt()

    @precondition(lambda self: self.buffer.behind_bytes == 0)
    @invariant()
    def the_latest_flush_is_asked_until_it_is_answered(self) -> None:
        assert self.flush_at_worker >= self.flush_owed

    @invariant()
    def is_bounded(self) -> None:
        assert self.buffer.retained_bytes <= self.bound
        assert 0 <= self.buffer.behind_bytes <= self.buffer.retained_bytes

    @invariant()
    def every_chunk_is_said_once_or_declared(self) -> None:
        assert self.finals == sorted(set(self.finals))
        unsaid = set(range(self.committed + 1)) - set(self.finals)
        assert unsaid <= self.declared


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
