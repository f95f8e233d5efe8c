"""Chooses the worker for the next stream: of two at random, the one believed to have more free slots. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

_FEW: Final = 3


@dataclass(frozen=True, slots=True)
class EndpointView:
    """An endpoint as the balancer sees it.

    `free`: the free slots that the worker reported; None for a name that gRPC balances itself, because a report
    describes only one of its workers. `pending`: streams opened minus streams closed by this gateway since that report.
    `serving` is false for an endpoint that is unreachable, loading, draining or retired; `ejected` is true for one that
    recently failed a stream.
    """

    key: str
    serving: bool
    free: int | None
    pending: int = 0
    ejected: bool = False

    @property
    def room(self) -> float:
        """Estimated number of free slots, never below zero."""
        return float("inf") if self.free is None else max(0, self.free - self.pending)


class Refusal(Enum):
    """Why no endpoint was chosen."""

    NONE_SERVING = "none_serving"
    ALL_FULL = "all_full"


def choose(endpoints: Iterable[EndpointView], rng: Callable[[], float], tried: Collection[str] = ()) -> str | Refusal:
    """The key of an endpoint with room; those in `tried` only if there is no other. `rng` gives numbers in [0, 1).

    Reports are up to a second old. If every gateway took the endpoint with the most room, a storm of new streams would
    go to the same one, and most would be refused there. So each compares two at random (Mitzenmacher, "The Power of Two
    Choices in Randomized Load Balancing", 2001). In the simulation of bench/capacity with slots to spare, attempts at
    full workers fall by nine tenths. Of up to three endpoints all are compared: so few are spread best by counting, and
    one that comes back is filled at once.

    If every endpoint is ejected, one of them is chosen: waiting would only cost time, and one address (a proxy) may
    lead to several workers and not be at fault.

    A stream that opens while a report is on its way is counted twice, in the report and in `pending`. An endpoint that
    reported free slots and is full only by that count is therefore the last choice but not excluded: the worker itself
    decides.
    """
    reachable = [e for e in endpoints if e.serving]
    serving = [e for e in reachable if not e.ejected] or reachable
    if not serving:
        return Refusal.NONE_SERVING
    roomy = [e for e in serving if e.room > 0] or [e for e in serving if e.free]
    if not roomy:
        return Refusal.ALL_FULL
    untried = [e for e in roomy if e.key not in tried] or roomy
    return min(_compared(untried, rng), key=lambda e: (-e.room, e.pending, e.key)).key


def _compared(endpoints: Sequence[EndpointView], rng: Callable[[], float]) -> Sequence[EndpointView]:
    """Two endpoints, every pair equally likely; all if there are few."""
    if len(endpoints) <= _FEW:
        return endpoints
    first, second = int(rng() * len(endpoints)), int(rng() * (len(endpoints) - 1))
    return endpoints[first], endpoints[second + (second >= first)]
