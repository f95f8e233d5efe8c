"""Clients that are refused: wrong credentials counted per address, and log lines that a flood cannot multiply."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.auth import FailureLimiter
from gateway.metrics import Metrics
from settings.network import client_network as _network

log = structlog.get_logger()

BURST: Final = 20
REFILL_S: Final = 3.0
_ADDRESSES: Final = 10_000
_LOG_INTERVAL_S: Final = 60.0
_LOG_KEYS: Final = 1_000


class OncePerInterval:
    """Says when a repeated event is worth a log line: at its first time, then once per interval.

    Beyond `keys`, the event that was logged longest ago is forgotten. `clock` gives seconds.
    """

    def __init__(self, interval_s: float, keys: int, clock: Callable[[], float]) -> None:
        self._interval_s = interval_s
        self._bound = keys
        self._clock = clock
        self._logged: dict[str, _Logged] = {}

    def due(self, key: str) -> int | None:
        """How many events there were since the last line, this one included; None: no line now."""
        now = self._clock()
        logged = self._logged.get(key)
        if logged is not None and now - logged.at < self._interval_s:
            logged.unlogged += 1
            return None
        self._logged.pop(key, None)
        self._logged[key] = _Logged(now)
        while len(self._logged) > self._bound:
            del self._logged[next(iter(self._logged))]
        return 1 if logged is None else logged.unlogged + 1


@dataclass(slots=True)
class _Logged:
    at: float
    unlogged: int = 0


class CredentialFailures:
    """Failed attempts to authenticate, over WebSocket and HTTP.

    Above the limit, an invalid credential gets 429. A valid one is accepted at any time: callers behind one proxy share
    an address, so the credential is checked first.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._metrics = metrics
        self._limiter = FailureLimiter(BURST, REFILL_S, _ADDRESSES, clock)
        self._lines = OncePerInterval(_LOG_INTERVAL_S, _LOG_KEYS, clock)

    def record(self, door: str, host: str) -> None:
        """Count a failure at a door: an invalid credential, or a socket that closed without sending one."""
        self._metrics.auth_failures.labels(door).inc()
        address = _network(host)
        self._limiter.record_failure(address)
        if not self._limiter.allowed(address) and (count := self._lines.due(address)) is not None:
            log.warning("too many invalid credentials", address=address, door=door, failures=count)

    def retry_after_s(self, host: str) -> int | None:
        """Whole seconds until an address may fail once more; None: now."""
        wait = self._limiter.wait_s(_network(host))
        return math.ceil(wait) if wait > 0 else None
