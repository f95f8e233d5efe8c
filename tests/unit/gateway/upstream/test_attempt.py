"""One call's time to finish: it begins with the end, and again with whatever becomes final after it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from talkup.v1 import task_pb2

from gateway.upstream.attempt import Attempt
from gateway.upstream.config import Deadlines
from gateway.upstream.failures import FinishDeadline


class Call:
    """A call that takes every request."""

    async def write(self, request: task_pb2.TaskRequest) -> None: ...

    async def done_writing(self) -> None: ...


async def test_a_worker_that_makes_progress_after_the_end_gets_its_time_again() -> None:
    now = [100.0]
    lease = SimpleNamespace(endpoint=SimpleNamespace(state=SimpleNamespace(silent_for=lambda _: 0.0)))
    attempt = Attempt(1, cast("Any", lease), cast("Any", Call()), task_pb2.TaskResult(), lambda: now[0])
    deadlines = Deadlines(finish=120.0, stall=1e6)
    attempt.committed()
    await attempt.write(task_pb2.TaskRequest(end=task_pb2.StreamEnd()))
    for _ in range(5):
        now[0] += 100
        attempt.check_deadlines(deadlines)
        attempt.committed()
    now[0] += 121
    with pytest.raises(FinishDeadline):
        attempt.check_deadlines(deadlines)
