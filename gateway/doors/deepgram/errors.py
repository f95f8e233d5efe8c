"""Errors in Deepgram's words: an HTTP status and a body for requests, a message and a close code for sockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.doors.deepgram.messages import Refusal
from gateway.protocol.errors import CloseCode, Code, Problem


class Words(NamedTuple):
    """An error of ours in Deepgram's words."""

    status: int
    err_code: str
    close: int
    reason: str


_BAD: Final = Words(400, "Bad Request", CloseCode.POLICY, "DATA-0000")
_TOO_MANY: Final = Words(429, "TOO_MANY_REQUESTS", CloseCode.POLICY, "RATE_LIMITED")
_BUSY: Final = Words(503, "SERVICE_UNAVAILABLE", CloseCode.BUSY, "BUSY")
_FAILED: Final = Words(500, "INTERNAL_SERVER_ERROR", CloseCode.INTERNAL, "NET-0000")

_WORDS: Final[Mapping[Code, Words]] = {
    Code.BAD_JSON: _BAD,
    Code.BAD_MESSAGE: _BAD,
    Code.BAD_PAYLOAD: _BAD,
    Code.UNSUPPORTED_FORMAT: _BAD,
    Code.MEDIA_ERROR: _BAD,
    Code.ORPHAN_CHUNK: _BAD,
    Code.UNAUTHENTICATED: Words(401, "INVALID_AUTH", CloseCode.POLICY, "INVALID_AUTH"),
    Code.PERMISSION_DENIED: Words(403, "INSUFFICIENT_PERMISSIONS", CloseCode.POLICY, "INSUFFICIENT_PERMISSIONS"),
    Code.PAYLOAD_TOO_LARGE: Words(413, "PAYLOAD_TOO_LARGE", CloseCode.TOO_BIG, "PAYLOAD_TOO_LARGE"),
    Code.RATE_LIMITED: _TOO_MANY,
    Code.TOO_MANY_STREAMS: _TOO_MANY,
    Code.MEDIA_LIMIT: _TOO_MANY,
    Code.BUSY: _BUSY,
    Code.NO_WORKER: _BUSY,
    Code.DEADLINE_EXCEEDED: Words(408, "REQUEST_TIMEOUT", CloseCode.INTERNAL, "NET-0001"),
    Code.SUPERSEDED: Words(409, "SUPERSEDED", CloseCode.NORMAL, "SUPERSEDED"),
    Code.SESSION_EXPIRED: Words(404, "SESSION_EXPIRED", CloseCode.POLICY, "SESSION_EXPIRED"),
}


def words_for(code: Code) -> Words:
    """How Deepgram says it."""
    return _WORDS.get(code, _FAILED)


def refusal_of(problem: Problem, request_id: str) -> Refusal:
    """The body of a refused request."""
    return Refusal(words_for(problem.code).err_code, problem.message, request_id)
