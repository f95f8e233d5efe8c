"""How long to wait before the next attempt to connect: exponential, with full jitter.

Full jitter spreads the clients of a restarted gateway over the whole interval instead of letting them come back in
waves (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from collections.abc import Callable

BASE_S = 0.25
CAP_S = 8.0


def delay_s(attempt: int, rng: Callable[[], float]) -> float:
    """Seconds before attempt number `attempt` (0 is the first after a loss); `rng` gives numbers in [0, 1)."""
    return rng() * min(CAP_S, BASE_S * float(1 << min(attempt, 16)))
