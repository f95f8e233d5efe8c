"""Decides when to retry; the only file that imports tenacity.

Two things may fail. *Finding a worker* that admits the stream is retried with tenacity, within limits of time and
attempts. *Losing a worker after admission* is a strike: another worker admits the stream and gets its replay, until the
stream has too many strikes without progress in between (input that kills two workers never reaches a third). turns.py
makes sure that a strike hits the stream whose input caused it. A worker lost before it received any of the stream's
input is not a strike, but such losses are limited, too.
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

# gRPC status -> may another endpoint succeed? INTERNAL, CANCELLED and UNKNOWN are retried only if the connection broke
# ("RST_STREAM", "Internal error from Core": seen through Envoy and when a server's grace period ends). OK: the call
# closed without `ended`.
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
_RETRYABLE_IF_BROKEN = frozenset({"INTERNAL", "CANCELLED", "UNKNOWN"})


def is_retryable(failure: BaseException) -> bool:
    """Whether an attempt on another endpoint may succeed."""
    match failure:
        case CallFailed(status=status, transport_reset=True) if status in _RETRYABLE_IF_BROKEN:
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
    on_retry: Callable[[str], None],
) -> T:
    """Call `attempt` until it succeeds; raises the last failure.

    It gives up on a failure that is not retryable, after `attempts` failures, or if the next wait would exceed `budget`
    seconds. `on_retry` is called before each retry with the reason of the failure.
    """

    def before_sleep(state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        reason = failure.reason if isinstance(failure, UpstreamFailure) else "unknown"
        delay = state.upcoming_sleep
        log.info("attempt retried", reason=reason, attempts=state.attempt_number, delay_ms=round(1000 * delay))
        on_retry(reason)

    retrying = AsyncRetrying(
        stop=stop_after_attempt(attempts) | stop_before_delay(budget),
        wait=wait_random_exponential(multiplier=policy.wait_first, max=policy.wait_last),
        retry=retry_if_exception(is_retryable),
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(attempt)


class Strikes:
    """The workers that one stream has lost since it last made progress.

    A commit proves that the input does not kill workers. An engine that commits rarely gives another proof: text about
    media at least `advance_ms` beyond everything recognised before the last loss. Every such reset needs that much new
    media, so input that kills every worker reaches only a bounded number of them.
    """

    def __init__(self, limit: int, advance_ms: int, max_unexposed: int = 64) -> None:
        self._limit = limit
        self._advance_ms = advance_ms
        self._unexposed_left = self._max_unexposed = max_unexposed
        self._count = 0.0
        self._furthest_ms = 0
        self._lost_at_ms = 0

    @property
    def has_strikes(self) -> bool:
        """Whether a worker was lost since the stream last made progress."""
        return self._count > 0

    def progressed(self) -> None:
        """`committed` rose, so the input does not kill workers."""
        self._reset()

    def media_reached(self, media_ms: int) -> None:
        """A result covers media up to `media_ms` on the stream's media clock."""
        self._furthest_ms = max(self._furthest_ms, media_ms)
        if self._furthest_ms - self._lost_at_ms >= self._advance_ms:
            self._reset()

    def lost_unexposed(self, failure: UpstreamFailure) -> None:
        """Count a worker lost before it received more of the stream than `start`.

        Raises `failure` itself if it is not retryable, WorkersLost at the last of `max_unexposed` such losses without
        progress.
        """
        if not is_retryable(failure):
            raise failure
        self._unexposed_left -= 1
        if self._unexposed_left <= 0:
            raise WorkersLost from failure

    def strike(self, failure: UpstreamFailure, *, share: float = 1.0, doubtful: bool = False) -> None:
        """Count a worker lost after admission, as a fraction (`share`) if other streams may have caused the loss.

        A `doubtful` loss allows the stream one more strike: the worker kept working after it received the stream, or no
        other worker is left, so the cause may lie elsewhere. Raises `failure` itself if it is not retryable,
        WorkersLost when the limit is reached.
        """
        self._count += share
        self._lost_at_ms = self._furthest_ms
        if not is_retryable(failure):
            raise failure
        if self._count >= self._limit + doubtful:
            raise WorkersLost from failure

    def _reset(self) -> None:
        self._count = 0.0
        self._unexposed_left = self._max_unexposed
