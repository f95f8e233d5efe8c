"""Clients that are refused: wrong credentials are counted and audited, and a flood cannot multiply the log lines."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.access.key_file import digest_of
from gateway.auth import AuthError
from gateway.client_address import ClientAddresses
from gateway.metrics import Metrics
from settings.network import client_network as _network

log = structlog.get_logger()

BURST: Final = 20
REFILL_S: Final = 3.0
LATE_S: Final = 0.25
LATE_BOUND: Final = 200
_AT_ONCE: Final = 2
# How long an answer that is due waits for a refusal in whose turn it can be given.
_SPARE_S: Final = 0.05
_ADDRESSES: Final = 10_000
_LOG_INTERVAL_S: Final = 60.0
_LOG_KEYS: Final = 1_000
# Reasons for refusing a credential that this gateway, its secret or its identity provider once issued.
_KNOWN: Final = frozenset(
    {"expired", "revoked", "other_purpose", "issued_before_start", "door", "foreign"}
    | {"not_yet_valid", "other_audience", "other_issuer", "scope", "owner", "provider_away"}
)


class FailureLimiter:
    """Limits failed authentications per address, with one token bucket each.

    It remembers at most `addresses` addresses and forgets the one whose latest failure is oldest.
    """

    def __init__(self, burst: int, refill_s: float, addresses: int, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._refill_s = refill_s
        self._bound = addresses
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def _level(self, address: str) -> float:
        level, since = self._buckets.get(address, (float(self._burst), self._clock()))
        return min(float(self._burst), level + (self._clock() - since) / self._refill_s)

    def remembers(self, address: str) -> bool:
        """Whether an address has failed before, as far as that still counts."""
        return address in self._buckets and self._level(address) < self._burst

    def allowed(self, address: str) -> bool:
        """Whether an address may fail to authenticate once more."""
        return self._level(address) >= 1.0

    def wait_s(self, address: str) -> float:
        """Seconds until `allowed`; 0 if it is."""
        return max(0.0, 1.0 - self._level(address)) * self._refill_s

    def record_failure(self, address: str) -> None:
        """Count a failure: an invalid credential, or a socket that closed without sending one."""
        level = self._level(address)
        self._buckets.pop(address, None)
        self._buckets[address] = (level - 1.0 if level >= 1.0 else level, self._clock())
        while len(self._buckets) > self._bound:
            del self._buckets[next(iter(self._buckets))]


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


class LateAnswers:
    """Answers 429 only after a while, so that a client that tries again at once cannot try often.

    At most `bound` answers wait; further ones do not. Due answers are given one per turn of the event loop, so that no
    other client waits for several, or two when the same turn refuses another client (`give_due`).
    """

    def __init__(self, delay_s: float = LATE_S, bound: int = LATE_BOUND) -> None:
        self._delay_s = delay_s
        self._bound = bound
        self._waiting: deque[tuple[float, Callable[[], None]]] = deque()
        self._is_timed = False

    def call(self, answer: Callable[[], None]) -> None:
        """Call `answer` when it may be given."""
        if len(self._waiting) >= self._bound:
            answer()
            return
        self._waiting.append((asyncio.get_running_loop().time() + self._delay_s, answer))
        self._set_timer()

    def give_due(self) -> None:
        """Give up to two due answers, in the turn that refuses another client.

        One would only keep pace with new refusals, and a backlog would wait for the timer.
        """
        now = asyncio.get_running_loop().time()
        for _ in range(_AT_ONCE):
            if self._waiting and self._waiting[0][0] <= now:
                self._waiting.popleft()[1]()

    async def wait(self) -> None:
        """Wait until the answer may be given."""
        may_answer = asyncio.get_running_loop().create_future()
        self.call(lambda: None if may_answer.done() else may_answer.set_result(None))
        await may_answer

    def _set_timer(self) -> None:
        if self._waiting and not self._is_timed:
            self._is_timed = True
            asyncio.get_running_loop().call_at(self._waiting[0][0] + _SPARE_S, self._give_overdue)

    def _give_overdue(self) -> None:
        self._is_timed = False
        try:
            if self._waiting and self._waiting[0][0] + _SPARE_S <= asyncio.get_running_loop().time():
                self._waiting.popleft()[1]()
        finally:
            self._set_timer()


class CredentialFailures:
    """Failed attempts to authenticate, over WebSocket and HTTP.

    Above the limit, an invalid credential gets 429. A valid one is accepted at any time: callers behind one proxy share
    an address, so the credential is checked first. Guesses are limited per address; a credential that fails again and
    again has a limit of its own, so that others at its address still learn why theirs are refused.
    """

    def __init__(
        self, metrics: Metrics, clock: Callable[[], float], trusted_proxies: Sequence[str] = (), processes: int = 1
    ) -> None:
        """`processes`: how many processes the connections of an address are spread over, each with its part."""
        burst, refill_s = max(1, BURST // processes), REFILL_S * processes
        self.late_answers = LateAnswers()
        self._metrics = metrics
        self._addresses = ClientAddresses(trusted_proxies)
        self._limiter = FailureLimiter(burst, refill_s, _ADDRESSES, clock)
        self._credentials = FailureLimiter(burst, refill_s, _ADDRESSES, clock)
        self._lines = OncePerInterval(_LOG_INTERVAL_S, _LOG_KEYS, clock)
        self._audit = OncePerInterval(_LOG_INTERVAL_S, _LOG_KEYS, clock)

    def client_of(self, peer: str, forwarded: Iterable[str]) -> str:
        """The address of a client; `forwarded`: the X-Forwarded-For headers that came from `peer`."""
        return self._addresses.of(peer, forwarded)

    def record(self, door: str, host: str, credential: str | None = None, error: AuthError | None = None) -> None:
        """Count a failure at a door: an invalid credential, or a socket that closed without sending one.

        A credential that was valid once, or fails again, is no guess: it counts for itself and not for its address.
        """
        self._metrics.auth_failures.labels(door).inc()
        address = _network(host)
        is_guess = error is None or error.reason not in _KNOWN
        if credential is not None:
            name = _name_of(address, credential)
            is_guess = is_guess and not self._credentials.remembers(name)
            self._credentials.record_failure(name)
        if is_guess:
            self._limiter.record_failure(address)
        if error is not None:
            self._write_audit(door, address, error)
        if self.retry_after_s(host, credential) is not None and (count := self._lines.due(address)) is not None:
            log.warning("too many invalid credentials", address=address, door=door, failures=count)

    def retry_after_s(self, host: str, credential: str | None = None) -> int | None:
        """Whole seconds until an address may fail once more, with this credential; None: now."""
        address = _network(host)
        if credential is not None and self._credentials.remembers(name := _name_of(address, credential)):
            wait = self._credentials.wait_s(name)
        else:
            wait = self._limiter.wait_s(address)
        return math.ceil(wait) if wait > 0 else None

    def _write_audit(self, door: str, address: str, error: AuthError) -> None:
        """One line per address, door and reason in a minute, with their number; no part of a credential."""
        count = self._audit.due(f"{address} {door} {error.reason} {error.key_id}")
        if count is not None:
            log.warning(
                "credential refused", address=address, door=door, reason=error.reason, key_id=error.key_id, count=count
            )


def _name_of(address: str, credential: str) -> str:
    """The name of a credential from an address, without the credential."""
    return f"{address} {digest_of(credential).hex()}"
