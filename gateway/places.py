"""How many connections each port takes: as configured, and never more than this process has file descriptors for."""

from __future__ import annotations

import resource
from typing import Final

import structlog

from gateway.admission import Places
from gateway.config import GatewayConfig

log = structlog.get_logger()

_UNLIMITED: Final = 1_000_000
# The part of the descriptors that HTTP gets when there are too few, and the part for connections that are being closed.
_HTTP_SHARE: Final = 4
_LEAVING_SHARE: Final = 8
_MIN_LEAVING: Final = 8


def descriptors() -> int:
    """The number of files that this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


def places(config: GatewayConfig, available: int) -> tuple[Places, Places]:
    """The places of the HTTP port, and those of the WebSocket ports together, with this many descriptors for both."""
    wanted_http = config.max_http_connections
    # A session that its client resumes has two sockets for a moment.
    wanted_ws = 2 * config.max_sessions + config.max_unauthenticated
    usable = available - available // _LEAVING_SHARE - 2 * _MIN_LEAVING
    http = max(1, min(wanted_http, max(usable // _HTTP_SHARE, usable - wanted_ws)))
    ws = max(1, min(wanted_ws, usable - http))
    if (http, ws) != (wanted_http, wanted_ws):
        log.warning(
            "fewer connections than configured: the limit of open files is too low",
            http=http,
            websocket=ws,
            wanted=wanted_http + wanted_ws,
            open_files=available,
        )
    waiting = config.max_unauthenticated
    return _places(http, http, config.max_http_per_address), _places(
        ws, waiting, config.max_unauthenticated_per_address
    )


def _places(total: int, waiting: int, per_address: int) -> Places:
    waiting = min(waiting, total)
    leaving = max(_MIN_LEAVING, total // _LEAVING_SHARE)
    return Places(total, waiting, min(per_address, waiting), leaving)
