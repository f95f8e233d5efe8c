"""When to try again: the one place that decides it, and the only file that knows tenacity.

Two things may fail. *Getting admitted* by a worker is retried under tenacity within a budget of time and tries. A
worker *lost after admission* is a strike: the stream is admitted elsewhere and replayed, until too many strikes come
without progress in between (input that kills two workers is not shown to a third). turns.py sees to it that a strike
hits the stream whose input it was. A worker lost before it was shown anything of a stream is no strike of that stream,
but its tries are counted too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from gateway.upstream.config import RetryPolicy
from gateway.upstream.failures import (
    CallFailed,
    ConnectDeadline,
    UpstreamFailure,
    WorkerError,
    WorkersLost,
    WorkerStalled,
)

log = structlog.get_logger()

T = TypeVar("T")

# gRPC status -> may another endpoint do better? CANCELLED and INTERNAL only as a torn connection ("RST_STREAM",
# "Internal error from Core": seen through Envoy and when a server's grace ends). OK: the call closed without `ended`.
RETRYABLE_STATUS: dict[str, bool] = {
    "OK": True,
    "UNAVAILABLE": True,
    "ABORTED": True,
    "RESOURCE_EXHAUSTED": True,
    "INTERNAL": False,
    "CANCELLED": False,
    "UNKNOWN": False,
    "INVALID_ARGUMENT": False,
    "DEADLINE_EXCEEDED": False,
    "NOT_FOUND": False,
    "ALREADY_EXISTS": False,
    "PERMISSION_DENIED": False,
    "FAILED_PRECONDITION": False,
    "OUT_OF_RANGE": False,
    "UNIMPLEMENTED": False,
    "DATA_LOSS": False,
    "UNAUTHENTICATED": False,
}
_TORN_STATUS = frozenset({"INTERNAL", "CANCELLED", "UNKNOWN"})


def is_retryable(failure: BaseException) -> bool:
    """Whether another try, on another endpoint, may succeed."""
    match failure:
        case CallFailed(status=status, transport_reset=True) if status in _TORN_STATUS:
            return True
        case CallFailed(status=status):
            return RETRYABLE_STATUS[status]
        case WorkerError(error=error):
            return error.retryable
        case ConnectDeadline() | WorkerStalled():
            return True
        case _:
            return False


async def admit(
    attempt: Callable[[], Awaitable[T]],
    policy: RetryPolicy,
    *,
    attempts: int,
    budget: float,
    on_retry: Callable[[float], None],
) -> T:
    """Call `attempt` until it succeeds or fails for good.

    That is also when it failed `attempts` times, or when waiting once more would exceed `budget` seconds.

    `on_retry` hears the delay before each further try, seconds. Raises the last failure.
    """

    def before_sleep(state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        reason = failure.reason if isinstance(failure, UpstreamFailure) else "unknown"
        delay = state.upcoming_sleep
        log.info("worker tried again", reason=reason, tries=state.attempt_number, delay_ms=round(1000 * delay))
        on_retry(delay)

    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts) | stop_before_delay(budget),
        wait=wait_random_exponential(multiplier=policy.wait_first, max=policy.wait_last),
        retry=retry_if_exception(is_retryable),
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(attempt)


class Strikes:
    """Workers lost on one stream since it last got further.

    A commit is the plain proof that the input is not what kills workers. An engine that commits rarely gives another:
    text about media `advance_ms` beyond everything heard before the last loss. Each pardon of this kind needs that much
    new media, so input that kills every worker it meets can only be shown to a bounded number of them.
    """

    def __init__(self, limit: int, advance_ms: int, unseen: int = 64) -> None:
        self._limit = limit
        self._advance_ms = advance_ms
        self._unseen_left = self._unseen = unseen
        self._count = 0.0
        self._furthest_ms = 0
        self._lost_at_ms = 0

    @property
    def any(self) -> bool:
        """Whether a worker was lost since the stream last got further."""
        return self._count > 0

    def progress(self) -> None:
        """`committed` rose: the input is not what kills workers."""
        self._pardon()

    def reached(self, media_ms: int) -> None:
        """A result tells of media up to `media_ms` on the stream's media clock."""
        self._furthest_ms = max(self._furthest_ms, media_ms)
        if self._furthest_ms - self._lost_at_ms >= self._advance_ms:
            self._pardon()

    def lost_unseen(self, failure: UpstreamFailure) -> None:
        """Count a worker lost before anything of the stream but its `start` was shown to it.

        Raises `failure` itself when it is final, WorkersLost at the last of `unseen` such losses without progress.
        """
        if not is_retryable(failure):
            raise failure
        self._unseen_left -= 1
        if self._unseen_left <= 0:
            raise WorkersLost from failure

    def strike(self, failure: UpstreamFailure, *, share: float = 1.0, doubtful: bool = False) -> None:
        """Count a worker lost after admission; `share` of it where others may have been the cause as well.

        A `doubtful` loss (the worker went on after the stream was shown to it, or every worker is gone) ends the
        stream one strike later: several workers may go for a reason that has nothing to do with it.
        Raises `failure` itself when it is final, WorkersLost when the limit is reached.
        """
        self._count += share
        self._lost_at_ms = self._furthest_ms
        if not is_retryable(failure):
            raise failure
        if self._count >= self._limit + doubtful:
            raise WorkersLost from failure

    def _pardon(self) -> None:
        self._count = 0.0
        self._unseen_left = self._unseen
