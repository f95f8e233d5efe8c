"""How the HTTP port answers: JSON, and refusals with the code of an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web

_CODES: Final[Mapping[int, str]] = {408: "deadline_exceeded", 413: "payload_too_large", 429: "rate_limited"}


@dataclass(eq=False)
class RefusalError(Exception):
    """A refused request, with its HTTP status and the error for the caller. `closes`: the connection, too."""

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after_s: int | None = None
    closes: bool = False


def code_of(status: int) -> str:
    """The error code for a status that aiohttp chose."""
    return _CODES.get(status, "internal" if status >= 500 else "bad_message")


def json_response(body: object, status: int = 200) -> web.Response:
    """A JSON body."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def refused(refusal: RefusalError) -> web.Response:
    """The answer to a refused request."""
    body = {"error": {"code": refusal.code, "message": refusal.message, "field": refusal.field}}
    response = json_response(body, status=refusal.status)
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.retry_after_s is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_s)
    if refusal.closes:
        response.force_close()
    return response
