"""Which pages may use the gateway from a browser, by their origin (RFC 6454), over WebSocket and HTTP (Fetch: CORS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog

from gateway.refusals import OncePerInterval
from settings.network import OriginPattern

log = structlog.get_logger()

_LOG_INTERVAL_S: Final = 60.0
_LOG_KEYS: Final = 100
_MAX_SHOWN: Final = 200
# Headers that a page needs for its own transcript: to send, and to read.
_ALLOWED_HEADERS: Final = "Authorization, If-None-Match, Prefer"
_EXPOSED_HEADERS: Final = "ETag, Retry-After"
_MAX_AGE_S: Final = 600


class Origins:
    """The setting `allowed_origins`; without any, every origin may connect, or none if `is_closed`.

    A page from the host that it connects to may always do so: it is the gateway's own. `clock` gives seconds.
    """

    def __init__(self, allowed: Sequence[str], clock: Callable[[], float], *, is_closed: bool = False) -> None:
        self._allowed = tuple(OriginPattern.parse(origin) for origin in allowed)
        self._is_open = not allowed and not is_closed
        self._lines = OncePerInterval(_LOG_INTERVAL_S, _LOG_KEYS, clock)

    def allows(self, origin: str, host: str = "") -> bool:
        """Whether a page of this origin may connect to `host`. A refusal is logged, at most once a minute."""
        if self.includes(origin, host):
            return True
        self._log(origin)
        return False

    def includes(self, origin: str, host: str) -> bool:
        """The same, without a log line."""
        return self._is_open or self._is_configured(origin) or _host_of(origin) == _host_of(f"//{host}") != ""

    def _is_configured(self, origin: str) -> bool:
        return any(pattern.matches(origin) for pattern in self._allowed)

    def _log(self, origin: str) -> None:
        shown = origin[:_MAX_SHOWN]
        if (count := self._lines.due(shown)) is not None:
            log.warning("origin refused", origin=shown, refused=count, setting="allowed_origins")

    def response_headers(self, origin: str | None, host: str) -> Mapping[str, str]:
        """What lets a page of another origin than the gateway's own `host` read a response.

        Configured origins may, and every origin where none is configured on loopback. The origin is named, never `*`:
        caches must not give the response to a page of another one.
        """
        headers = {"Vary": "Origin"}
        if origin is None or _is_own(origin, host):
            return headers
        if self._is_open or self._is_configured(origin):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        else:
            self._log(origin)
        return headers


def preflight_headers(methods: Sequence[str]) -> Mapping[str, str]:
    """What a browser wants to know before it sends a request with a credential (Fetch 3.3.4)."""
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_S),
    }


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin is that of the gateway's own page."""
    try:
        return urlsplit(origin).netloc == host.lower()
    except ValueError:
        return False


def _host_of(origin: str) -> str:
    """The host name of an origin; empty if it has none."""
    try:
        return urlsplit(origin).hostname or ""
    except ValueError:
        return ""
