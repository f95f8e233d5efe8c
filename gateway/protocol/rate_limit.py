"""The rate limit of control messages and refused chunks: a token bucket with room for a burst.

Refusals are reported to the client at most once per second; after too many in a row its socket is closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_REPORT_INTERVAL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message over the limit. `wait_s`: seconds until another message is allowed.

    `is_reported`: send the client an error. `closes`: too many refusals in a row; close the socket.
    """

    wait_s: float
    is_reported: bool
    closes: bool


class RateLimit:
    """Refills with `per_second` tokens per second up to `burst`. Every `now` is in seconds."""

    def __init__(self, per_second: float, burst: int, max_refused: int) -> None:
        """`max_refused`: more refusals in a row than this close the socket."""
        self._per_second = per_second
        self._burst = float(burst)
        self._max_refused = max_refused
        self._tokens = float(burst)
        self._filled_at: float | None = None
        self._refused = 0
        self._reported_at: float | None = None

    def charge(self, now: float) -> Refusal | None:
        """Spend a token; returns a refusal if none is left."""
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            self._refused = 0
            return None
        self._refused += 1
        closes = self._refused > self._max_refused
        if closes:
            self._refused = 0
        is_reported = closes or self._reported_at is None or not 0 <= now - self._reported_at < _REPORT_INTERVAL_S
        if is_reported and not closes:
            self._reported_at = now
        return Refusal((1.0 - self._tokens) / self._per_second, is_reported, closes)

    def reset_refusals(self) -> None:
        """Reset the count of refusals in a row, for a new socket; the tokens stay as they are."""
        self._refused = 0
