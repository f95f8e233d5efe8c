"""How fast a stream may be decoded: a token bucket in seconds of output.

A few bytes can code minutes of silence; a stream that takes more than its share waits, and its sender with it.
"""

from __future__ import annotations


class Pace:
    """Grants `rate` seconds of output per second, and `burst` seconds at once. Times come from any monotonic clock."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError("a pace needs a positive rate and burst")
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def spend(self, seconds: float, now: float) -> None:
        """Charge output that was decoded; the account may go below zero."""
        self._refill(now)
        self._left -= seconds

    def delay(self, now: float) -> float:
        """Seconds to wait before the next decoding."""
        self._refill(now)
        return max(0.0, -self._left / self._rate)

    def _refill(self, now: float) -> None:
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
