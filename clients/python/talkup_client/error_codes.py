"""The error codes of the protocol. `make schemas` writes this file from error.proto; do not edit it."""

from __future__ import annotations

from typing import NamedTuple


class ErrorTraits(NamedTuple):
    """`close_code`: the socket closes with it if the error concerns the whole connection.

    `retryable`: the same request may succeed later, unless the error says otherwise. `ends_session`:
    reconnecting does not help.
    """

    close_code: int | None
    retryable: bool
    ends_session: bool


ERROR_CODES: dict[str, ErrorTraits] = {
    "bad_json": ErrorTraits(None, False, False),
    "bad_message": ErrorTraits(None, False, False),
    "unknown_type": ErrorTraits(None, False, False),
    "unsupported_version": ErrorTraits(None, False, False),
    "unauthenticated": ErrorTraits(4401, False, True),
    "permission_denied": ErrorTraits(4403, False, True),
    "unknown_stream": ErrorTraits(None, False, False),
    "stream_exists": ErrorTraits(None, False, False),
    "too_many_streams": ErrorTraits(None, True, False),
    "unsupported_format": ErrorTraits(None, False, False),
    "bad_payload": ErrorTraits(None, False, False),
    "payload_too_large": ErrorTraits(1009, False, False),
    "gap": ErrorTraits(None, False, False),
    "orphan_chunk": ErrorTraits(None, False, False),
    "media_error": ErrorTraits(None, False, False),
    "rate_limited": ErrorTraits(1008, True, False),
    "media_limit": ErrorTraits(None, False, False),
    "busy": ErrorTraits(1013, True, False),
    "no_worker": ErrorTraits(None, True, False),
    "worker_failed": ErrorTraits(None, False, False),
    "deadline_exceeded": ErrorTraits(None, True, False),
    "session_expired": ErrorTraits(None, False, True),
    "superseded": ErrorTraits(1000, False, True),
    "internal": ErrorTraits(1011, True, False),
}
