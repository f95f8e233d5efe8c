"""Which worker gets the next stream: the one with most room, as far as one can know. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint as the balancer sees it.

    `free`: slots that the worker reported, None where reports mean nothing (a name that gRPC balances itself).
    `pending`: streams opened minus streams closed from here since that report. `serving` is false for an endpoint
    that is unreachable, loading, draining or retired; `ejected` is true for one that failed a stream lately.
    """

    key: str
    serving: bool
    free: int | None
    pending: int = 0
    ejected: bool = False

    @property
    def room(self) -> float:
        """Slots believed free, never below zero."""
        return float("inf") if self.free is None else max(0, self.free - self.pending)


class Refusal(Enum):
    """Why there is no choice."""

    NONE_SERVING = "none_serving"
    ALL_FULL = "all_full"


def choose(endpoints: Iterable[EndpointView], tried: Collection[str] = ()) -> str | Refusal:
    """The key of the endpoint with most room; those in `tried` only when there is no other.

    Ejected endpoints are chosen when every one is: then waiting would only lose time, and the way to several workers
    may lead through one address (a proxy), which is not at fault.

    A stream that opens while a report is on its way is counted twice, in the report and in `pending`. So an endpoint
    that reported free slots and seems full by that count alone is the last choice, not none: the worker itself decides.
    """
    reachable = [e for e in endpoints if e.serving]
    serving = [e for e in reachable if not e.ejected] or reachable
    if not serving:
        return Refusal.NONE_SERVING
    roomy = [e for e in serving if e.room > 0] or [e for e in serving if e.free]
    if not roomy:
        return Refusal.ALL_FULL
    return min(roomy, key=lambda e: (e.key in tried, -e.room, e.pending, e.key)).key
