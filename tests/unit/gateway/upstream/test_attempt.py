"""One call's time to finish: it begins with the end, and again with whatever becomes final after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from gateway.upstream.attempt import Attempt
from gateway.upstream.config import Deadlines
from gateway.upstream.failures import FinishDeadline
from gateway.upstream.replay import ReplayBuffer, WireRequest


class Call:
    """A call that takes every request."""

    async def write(self, request: bytes) -> None: ...

    async def done_writing(self) -> None: ...


async def test_a_worker_that_makes_progress_after_the_end_gets_its_time_again() -> None:
    now = [100.0]
    lease = SimpleNamespace(endpoint=SimpleNamespace(state=SimpleNamespace(silent_for=lambda _: 0.0)))
    attempt = Attempt(1, cast("Any", lease), cast("Any", Call()), task_pb2.TaskResult(), lambda: now[0])
    deadlines = Deadlines(finish=120.0, stall=1e6)
    attempt.committed()
    end = task_pb2.TaskRequest(end=task_pb2.StreamEnd())
    await attempt.write(WireRequest("end", end.SerializeToString()))
    for _ in range(5):
        now[0] += 100
        attempt.check_deadlines(deadlines)
        attempt.committed()
    now[0] += 121
    with pytest.raises(FinishDeadline):
        attempt.check_deadlines(deadlines)


class Link(Call):
    """A call of a link."""

    def __init__(self, *, is_writable: bool) -> None:
        self.is_writable = is_writable
        self.written: list[int] = []

    def write_now(self, request: bytes) -> None:
        self.written.append(task_pb2.TaskRequest.FromString(request).chunk.sequence)


def chunk(sequence: int) -> task_pb2.TaskRequest:
    request = task_pb2.TaskRequest()
    request.chunk.sequence = sequence
    request.chunk.payload = bytes(1000)
    return request


@pytest.mark.parametrize(("is_writable", "lost", "written"), [(True, 0, [5]), (False, 0, []), (True, 3, [])])
def test_a_chunk_is_written_at_once_unless_it_has_to_wait_or_a_loss_comes_first(
    is_writable: bool, lost: int, written: list[int]
) -> None:
    replay = ReplayBuffer(max_bytes=4000, max_seconds=60.0)
    for sequence in range(5 - lost, 5):
        replay.offer(chunk(sequence))
    for _ in range(lost):
        replay.offer(task_pb2.TaskRequest(flush=task_pb2.StreamFlush(flush_id=1)))
    replay.offer(chunk(5))
    call = Link(is_writable=is_writable)
    attempt = Attempt(1, cast("Any", None), cast("Any", call), task_pb2.TaskResult(), lambda: 100.0)
    assert replay.has_gaps is (lost > 0)
    assert attempt.write_next(replay) is bool(written)
    assert call.written == written
    assert attempt.exposed is bool(written)


@pytest.mark.parametrize(
    ("result", "is_leaving", "only_passes"),
    [
        (task_pb2.TaskResult(attempt=1, transcript=transcript_pb2.Transcript(text="a")), False, True),
        (task_pb2.TaskResult(attempt=1, transcript=transcript_pb2.Transcript(text="a")), True, False),
        (task_pb2.TaskResult(attempt=2, transcript=transcript_pb2.Transcript(text="a")), False, False),
        (task_pb2.TaskResult(attempt=1, ended=task_pb2.Ended()), False, False),
        (task_pb2.TaskResult(attempt=1, flushed=task_pb2.Flushed()), False, False),
        (task_pb2.TaskResult(attempt=1, error=error_pb2.Error(fatal=True)), False, False),
        (task_pb2.TaskResult(attempt=1, drain=task_pb2.Drain()), False, False),
        (task_pb2.TaskResult(attempt=1), False, False),
    ],
)
def test_a_result_that_ends_moves_or_answers_something_is_the_readers(
    result: task_pb2.TaskResult, is_leaving: bool, only_passes: bool
) -> None:
    attempt = Attempt(1, cast("Any", None), cast("Any", Call()), task_pb2.TaskResult(), lambda: 100.0)
    attempt.leave_by = 200.0 if is_leaving else None
    assert attempt.only_passes(result, result.WhichOneof("result")) is only_passes
