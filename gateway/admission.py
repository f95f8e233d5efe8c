"""Who is connected to a port: bounded in all and per address, from the accept to the close.

A connection *waits* until its client has shown what it wants: on a WebSocket port until it has authenticated, on the
HTTP port until a request is complete. When too many wait, the address that has the most of them loses its oldest one.
So silent clients cannot keep others out: a client that needs no longer than a handshake is never the oldest for long.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import structlog

from gateway.metrics import Metrics
from gateway.refusals import OncePerInterval
from settings.network import client_network

log = structlog.get_logger()

_LOG_INTERVAL_S: Final = 60.0
_LOG_KEYS: Final = 1_000


class Refused(StrEnum):
    """Why a connection was closed: a label of the metric `gateway_connections_refused`."""

    FULL = "full"
    WAITING = "waiting"
    ADDRESS = "address"
    PLAINTEXT = "plaintext"
    SLOW = "slow"
    DESCRIPTORS = "descriptors"
    NO_REQUEST = "no_request"


@dataclass(frozen=True, slots=True)
class Places:
    """The bounds of a port: connections in all, those that wait, and those that wait from one address.

    `leaving`: connections beyond `total` that have been refused and have time to read why.
    """

    total: int
    waiting: int
    per_address: int
    leaving: int = 8


@dataclass(eq=False, slots=True)
class Visitor:
    """One connection. `since` is when it last began to wait (seconds of the clock).

    `end` tells the client to leave, `drop` closes the connection at once. `is_new`: the client has not been served yet.
    """

    address: str
    end: Callable[[], None]
    drop: Callable[[], None]
    since: float
    is_waiting: bool = True
    is_new: bool = True


class Admission:
    """The connections of one port.

    `port` is a metric label. `is_proxy`: addresses to which `per_address` does not apply. `clock` gives seconds.
    """

    def __init__(
        self,
        port: str,
        places: Places,
        metrics: Metrics,
        clock: Callable[[], float],
        is_proxy: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._port = port
        self._places = places
        self._metrics = metrics
        self._clock = clock
        self._is_proxy = is_proxy
        for reason in Refused:  # a series that begins above zero has no rate
            metrics.connections_refused.labels(port, reason)
        self._lines = OncePerInterval(_LOG_INTERVAL_S, _LOG_KEYS, clock)
        self._visitors: dict[Hashable, Visitor] = {}
        self._waiting: dict[str, dict[Visitor, None]] = {}
        self._waiting_count = 0
        self._leaving: dict[Visitor, None] = {}

    def __len__(self) -> int:
        return len(self._visitors)

    @property
    def _is_full(self) -> bool:
        return len(self._visitors) - len(self._leaving) >= self._places.total

    @property
    def waiting(self) -> int:
        """The number of connections that wait."""
        return self._waiting_count

    def enter(self, peer: Hashable, address: str, drop: Callable[[], None]) -> bool:
        """Take a new connection in, named `peer` until it leaves; False: there is no room, close it."""
        if self._is_full:
            self._evict(self._oldest(), Refused.FULL)
        if self._is_full:
            self.refused(address, Refused.FULL)
            return False
        visitor = Visitor(client_network(address), drop, drop, self._clock())
        self._visitors[peer] = visitor
        self._wait(visitor)
        return True

    def leave(self, peer: Hashable) -> None:
        """A connection has closed."""
        visitor = self._visitors.pop(peer, None)
        if visitor is not None:
            self._leaving.pop(visitor, None)
            self._stop_waiting(visitor)

    def find(self, peer: Hashable) -> Visitor | None:
        """The connection of this name."""
        return self._visitors.get(peer)

    def serve(self, visitor: Visitor) -> None:
        """The connection's client has shown what it wants: it no longer waits, and is not closed to make room."""
        visitor.is_new = False
        self._stop_waiting(visitor)

    def wait_again(self, visitor: Visitor) -> None:
        """The connection's client has been served."""
        if not visitor.is_waiting and visitor not in self._leaving:
            visitor.is_waiting = True
            visitor.since = self._clock()
            self._wait(visitor)

    def end_slow(self, new_s: float, served_s: float) -> None:
        """Close the connections that have waited longer: new ones than `new_s`, those served before than `served_s`."""
        now = self._clock()
        for group in list(self._waiting.values()):
            for visitor in list(group):
                if now - visitor.since > (new_s if visitor.is_new else served_s):
                    self._evict(visitor, Refused.SLOW)

    def refused(self, address: str, reason: Refused) -> None:
        """Count a connection that was closed, and log it, at most once a minute per address and reason."""
        self._metrics.connections_refused.labels(self._port, reason).inc()
        if (count := self._lines.due(f"{address} {reason}")) is not None:
            log.warning("connection refused", port=self._port, address=address, reason=str(reason), connections=count)

    def _wait(self, visitor: Visitor) -> None:
        group = self._waiting.setdefault(visitor.address, {})
        group[visitor] = None
        self._waiting_count += 1
        if len(group) > self._places.per_address and not self._is_proxy(visitor.address):
            self._evict(next(iter(group)), Refused.ADDRESS)
        elif self._waiting_count > self._places.waiting:
            self._evict(self._oldest(), Refused.WAITING)

    def _oldest(self) -> Visitor | None:
        """The oldest waiting connection of the address that has the most of them."""
        group = max(self._waiting.values(), key=len, default=None)
        return None if group is None else next(iter(group))

    def _evict(self, visitor: Visitor | None, reason: Refused) -> None:
        if visitor is None:
            return
        self._stop_waiting(visitor)
        self.refused(visitor.address, reason)
        self._leaving[visitor] = None
        visitor.end()
        if len(self._leaving) > self._places.leaving:
            next(iter(self._leaving)).drop()

    def _stop_waiting(self, visitor: Visitor) -> None:
        if not visitor.is_waiting:
            return
        visitor.is_waiting = False
        group = self._waiting[visitor.address]
        del group[visitor]
        self._waiting_count -= 1
        if not group:
            del self._waiting[visitor.address]
