"""Work at fixed moments of the clock: what one client does collides with what another does in every phase alike."""

from __future__ import annotations

import asyncio
import math
import time


def next_moment(now: float, interval_s: float, phase: float) -> float:
    """The first moment after `now` that lies `phase` intervals (0 to 1) after a whole number of them. Seconds."""
    return (math.floor(now / interval_s - phase) + 1 + phase) * interval_s


async def moment(interval_s: float, phase: float) -> None:
    """Wait for it. Moments that have passed meanwhile are left out: nobody catches up in a burst."""
    now = time.monotonic()
    await asyncio.sleep(next_moment(now, interval_s, phase) - now)
