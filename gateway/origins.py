"""Which pages may use the gateway from a browser, by their origin (RFC 6454), over WebSocket and HTTP (Fetch: CORS)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import structlog

from gateway.refusals import OncePerInterval
from settings.network import browser_origin

log = structlog.get_logger()

_LOG_INTERVAL_S: Final = 60.0
_LOG_KEYS: Final = 100
_MAX_SHOWN: Final = 200
# What a page needs for its own transcript: to send, and to read beside the body.
_ALLOWED_HEADERS: Final = "Authorization, If-None-Match, Prefer"
_EXPOSED_HEADERS: Final = "ETag, Retry-After"
_MAX_AGE_S: Final = 600


class Origins:
    """The setting `allowed_origins`; without any, every origin may connect. `clock` gives seconds."""

    def __init__(self, allowed: Sequence[str], clock: Callable[[], float]) -> None:
        self._allowed = frozenset(browser_origin(origin) for origin in allowed)
        self._lines = OncePerInterval(_LOG_INTERVAL_S, _LOG_KEYS, clock)

    def allows(self, origin: str) -> bool:
        """Whether a page of this origin may use the gateway. A refusal is logged, at most once a minute."""
        if not self._allowed or origin in self._allowed:
            return True
        shown = origin[:_MAX_SHOWN]
        if (count := self._lines.due(shown)) is not None:
            log.warning("origin refused", origin=shown, refused=count, setting="allowed_origins")
        return False

    def response_headers(self, origin: str | None, host: str) -> Mapping[str, str]:
        """What lets a page of another origin than the gateway's own `host` read a response.

        The origin is named, never `*`, so caches must not give the response to a page of another one.
        """
        headers = {"Vary": "Origin"}
        if origin is not None and not _is_own(origin, host) and self.allows(origin):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
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
