"""How the doors of telephony refuse a request: with the gateway's JSON, since they define no errors of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gateway.http_errors import RefusalError, refused
from gateway.protocol.errors import Code, Problem

_STATUS: Final[Mapping[Code, int]] = {
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.SESSION_EXPIRED: 404,
    Code.RATE_LIMITED: 429,
    Code.TOO_MANY_STREAMS: 429,
    Code.MEDIA_LIMIT: 429,
    Code.BUSY: 503,
    Code.NO_WORKER: 503,
    Code.WORKER_FAILED: 500,
    Code.INTERNAL: 500,
}


def refusal(problem: Problem) -> web.Response:
    """The answer to a refused request."""
    retry_after_s = None if problem.retry_after_ms is None else -(-problem.retry_after_ms // 1000)
    status = _STATUS.get(problem.code, 400)
    return refused(RefusalError(status, problem.code, problem.message, problem.field, retry_after_s))
