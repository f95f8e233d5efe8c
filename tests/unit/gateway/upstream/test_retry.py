"""What is retried, one test per row, and the two limits of retrying."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs
from talkup.v1 import error_pb2

from gateway.upstream.config import RetryPolicy
from gateway.upstream.failures import (
    Busy,
    CallFailed,
    ConnectDeadline,
    FinishDeadline,
    InternalFailure,
    NoWorker,
    StreamDeadline,
    UpstreamFailure,
    WorkerError,
    WorkersLost,
    WorkerStalled,
)
from gateway.upstream.retry import RETRYABLE_STATUS, Strikes, admit, is_retryable

QUICK = RetryPolicy(attempts=3, wait_first=0.001, wait_last=0.002)
ROOT = Path(__file__).parents[4]


def worker_error(*, retryable: bool) -> WorkerError:
    return WorkerError(error_pb2.Error(code=error_pb2.ERROR_CODE_INTERNAL, fatal=True, retryable=retryable))


@pytest.mark.parametrize(
    ("failure", "retryable"),
    [
        (CallFailed("OK"), True),
        (CallFailed("UNAVAILABLE"), True),
        (CallFailed("ABORTED"), True),
        (CallFailed("RESOURCE_EXHAUSTED"), True),
        (CallFailed("INTERNAL"), False),
        (CallFailed("INTERNAL", transport_reset=True), True),
        (CallFailed("CANCELLED"), False),
        (CallFailed("CANCELLED", transport_reset=True), True),
        (CallFailed("UNKNOWN"), False),
        (CallFailed("UNKNOWN", transport_reset=True), True),
        (CallFailed("INVALID_ARGUMENT"), False),
        (CallFailed("INVALID_ARGUMENT", transport_reset=True), False),
        (CallFailed("UNAUTHENTICATED"), False),
        (CallFailed("PERMISSION_DENIED"), False),
        (CallFailed("UNIMPLEMENTED"), False),
        (CallFailed("DEADLINE_EXCEEDED"), False),
        (CallFailed("NOT_FOUND"), False),
        (CallFailed("ALREADY_EXISTS"), False),
        (CallFailed("FAILED_PRECONDITION"), False),
        (CallFailed("OUT_OF_RANGE"), False),
        (CallFailed("DATA_LOSS"), False),
        (ConnectDeadline(), True),
        (WorkerStalled(), True),
        (worker_error(retryable=True), True),
        (worker_error(retryable=False), False),
        (NoWorker(), False),
        (Busy(1), False),
        (WorkersLost(), False),
        (FinishDeadline(), False),
        (StreamDeadline(), False),
        (InternalFailure(), False),
        (ValueError(), False),
        (asyncio.CancelledError(), False),
    ],
    ids=str,
)
def test_is_retryable(failure: BaseException, retryable: bool) -> None:
    assert is_retryable(failure) is retryable


def test_every_grpc_status_has_a_row() -> None:
    assert set(RETRYABLE_STATUS) == {status.name for status in grpc.StatusCode}


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("UNAVAILABLE", error_pb2.ERROR_CODE_NO_WORKER),
        ("RESOURCE_EXHAUSTED", error_pb2.ERROR_CODE_BUSY),
        ("DEADLINE_EXCEEDED", error_pb2.ERROR_CODE_DEADLINE_EXCEEDED),
        ("INVALID_ARGUMENT", error_pb2.ERROR_CODE_BAD_MESSAGE),
        ("UNAUTHENTICATED", error_pb2.ERROR_CODE_WORKER_FAILED),
    ],
)
def test_a_grpc_status_becomes_an_error_of_the_closed_list(status: str, code: error_pb2.ErrorCode) -> None:
    error = CallFailed(status).to_error()
    assert (error.code, error.fatal) == (code, True)


class Script:
    """Raises the given failures in turn, then succeeds."""

    def __init__(self, *failures: UpstreamFailure) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "admitted"


async def test_retries_until_admitted() -> None:
    script = Script(CallFailed("UNAVAILABLE"), ConnectDeadline())
    reasons: list[str] = []
    with capture_logs() as lines:
        assert await admit(script, QUICK, attempts=3, budget=5, on_retry=reasons.append) == "admitted"
    assert script.calls == 3
    assert reasons == ["unavailable", "connect_deadline"]
    assert [line["reason"] for line in lines] == reasons
    assert all(0 <= line["delay_ms"] <= 1000 * QUICK.wait_last for line in lines)


async def test_the_last_failure_is_raised_when_attempts_run_out() -> None:
    script = Script(*[CallFailed("UNAVAILABLE")] * 2, CallFailed("ABORTED"), CallFailed("OK"))
    with pytest.raises(CallFailed, match="ABORTED"):
        await admit(script, QUICK, attempts=3, budget=5, on_retry=lambda _: None)
    assert script.calls == QUICK.attempts


async def test_a_final_failure_is_not_retried() -> None:
    script = Script(CallFailed("UNAUTHENTICATED"))
    with pytest.raises(CallFailed, match="UNAUTHENTICATED"):
        await admit(script, QUICK, attempts=3, budget=5, on_retry=lambda _: None)
    assert script.calls == 1


async def test_no_wait_starts_that_would_exceed_the_budget() -> None:
    script = Script(*[CallFailed("UNAVAILABLE")] * 10)
    with pytest.raises(CallFailed):
        await admit(script, QUICK, attempts=3, budget=0.0, on_retry=lambda _: None)
    assert script.calls == 1


def test_the_second_worker_lost_without_progress_is_the_last() -> None:
    strikes = Strikes(2, 3000)
    strikes.strike(WorkerStalled())
    with pytest.raises(WorkersLost):
        strikes.strike(CallFailed("UNAVAILABLE"))


def test_a_doubtful_loss_ends_a_stream_one_strike_later() -> None:
    strikes = Strikes(2, 3000)
    strikes.strike(WorkerStalled())
    strikes.strike(WorkerStalled(), doubtful=True)
    with pytest.raises(WorkersLost):
        strikes.strike(WorkerStalled(), doubtful=True)


def test_a_shared_loss_counts_half() -> None:
    strikes = Strikes(2, 3000)
    strikes.strike(WorkerStalled())
    strikes.strike(WorkerStalled(), share=0.5, doubtful=True)
    assert strikes.has_strikes
    with pytest.raises(WorkersLost):
        strikes.strike(WorkerStalled())


def test_workers_lost_before_they_received_input_are_counted_separately() -> None:
    strikes = Strikes(2, 3000, max_unexposed=3)
    for _ in range(2):
        strikes.lost_unexposed(WorkerStalled())
    assert not strikes.has_strikes
    strikes.progressed()
    for _ in range(2):
        strikes.lost_unexposed(WorkerStalled())
    with pytest.raises(WorkersLost):
        strikes.lost_unexposed(WorkerStalled())
    with pytest.raises(FinishDeadline):
        strikes.lost_unexposed(FinishDeadline())


def test_progress_resets_strikes() -> None:
    strikes = Strikes(2, 3000)
    for _ in range(5):
        strikes.strike(WorkerStalled())
        strikes.progressed()


def test_text_far_beyond_the_last_loss_resets_strikes() -> None:
    strikes = Strikes(2, 3000)
    for loss in range(5):
        strikes.media_reached(loss * 3000)
        strikes.strike(WorkerStalled())


def test_text_about_the_same_media_is_no_progress() -> None:
    strikes = Strikes(2, 3000)
    strikes.media_reached(9000)
    strikes.strike(WorkerStalled())
    strikes.media_reached(500)
    strikes.media_reached(11_999)
    with pytest.raises(WorkersLost):
        strikes.strike(WorkerStalled())


def test_a_final_failure_is_raised_unchanged() -> None:
    with pytest.raises(FinishDeadline):
        Strikes(9, 3000).strike(FinishDeadline())


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}


def test_each_library_has_one_door() -> None:
    doors: dict[str, set[str]] = {"tenacity": set(), "grpc": set(), "grpc_health": set(), "gateway.protocol": set()}
    for path in (ROOT / "gateway" / "upstream").glob("*.py"):
        for name in imports(path):
            for library, users in doors.items():
                if name == library or name.startswith(library + "."):
                    users.add(path.name)
    assert doors == {
        "tenacity": {"retry.py"},
        "grpc": {"channel.py"},
        "grpc_health": {"channel.py"},
        "gateway.protocol": set(),
    }
