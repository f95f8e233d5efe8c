"""Errors in OpenAI's words: an HTTP status and a body for requests, an event and a close code for sockets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from aiohttp import web
from msgspec import UNSET, Struct, UnsetType, json

from gateway.protocol.errors import CloseCode, Code, Problem

_RETRY_MS: Final = 2_000
_ABOUT_THE_FILE: Final = frozenset(
    {Code.UNSUPPORTED_FORMAT, Code.MEDIA_ERROR, Code.ORPHAN_CHUNK, Code.PAYLOAD_TOO_LARGE}
)


class Words(NamedTuple):
    """An error of ours in OpenAI's words."""

    status: int
    type: str
    code: str | None
    close: int


class Details(Struct):
    """What went wrong. `param`: the option to blame; `event_id`: the client's event, on sockets."""

    message: str
    type: str
    param: str | None
    code: str | None
    event_id: str | UnsetType | None = UNSET


class Refusal(Struct):
    """The body of a refused request."""

    error: Details


_INVALID: Final = "invalid_request_error"
_BAD: Final = Words(400, _INVALID, "invalid_value", CloseCode.POLICY)
_MEDIA: Final = Words(400, _INVALID, "audio_unprocessable", CloseCode.POLICY)
_TOO_MANY: Final = Words(429, "rate_limit_error", "rate_limit_exceeded", CloseCode.POLICY)
_BUSY: Final = Words(503, "server_error", "busy", CloseCode.BUSY)
_FAILED: Final = Words(500, "server_error", "internal_error", CloseCode.INTERNAL)

_WORDS: Final[Mapping[Code, Words]] = {
    Code.BAD_JSON: Words(400, _INVALID, "invalid_json", CloseCode.POLICY),
    Code.BAD_MESSAGE: _BAD,
    Code.UNKNOWN_TYPE: Words(400, _INVALID, "unknown_event", CloseCode.POLICY),
    Code.BAD_PAYLOAD: _BAD,
    Code.UNSUPPORTED_FORMAT: _MEDIA,
    Code.MEDIA_ERROR: _MEDIA,
    Code.ORPHAN_CHUNK: _MEDIA,
    Code.UNAUTHENTICATED: Words(401, _INVALID, "invalid_api_key", CloseCode.POLICY),
    Code.PERMISSION_DENIED: Words(403, _INVALID, "permission_denied", CloseCode.POLICY),
    Code.PAYLOAD_TOO_LARGE: Words(413, _INVALID, "payload_too_large", CloseCode.TOO_BIG),
    Code.RATE_LIMITED: _TOO_MANY,
    Code.TOO_MANY_STREAMS: _TOO_MANY,
    Code.MEDIA_LIMIT: _TOO_MANY,
    Code.BUSY: _BUSY,
    Code.NO_WORKER: _BUSY,
    Code.DEADLINE_EXCEEDED: Words(408, _INVALID, "timeout", CloseCode.INTERNAL),
    Code.SESSION_EXPIRED: Words(401, _INVALID, "session_expired", CloseCode.POLICY),
}


def words_for(code: Code) -> Words:
    """How OpenAI says it."""
    return _WORDS.get(code, _FAILED)


def details_of(problem: Problem, event_id: str | UnsetType | None = UNSET) -> Details:
    """What the client reads about a problem."""
    words = words_for(problem.code)
    return Details(problem.message, words.type, problem.field, words.code, event_id)


def of_upload(problem: Problem) -> Problem:
    """A problem of an upload: what is wrong with the sound is wrong with its `file`."""
    is_about_file = problem.field is None and problem.code in _ABOUT_THE_FILE
    return replace(problem, field="file") if is_about_file else problem


def refusal(problem: Problem) -> web.Response:
    """The answer to a refused request."""
    words = words_for(problem.code)
    body = json.encode(Refusal(details_of(problem)))
    response = web.Response(body=body, status=words.status, content_type="application/json")
    if words.status in (429, 503):
        response.headers["Retry-After"] = str(-(-(problem.retry_after_ms or _RETRY_MS) // 1000))
    if words.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
