"""What can go wrong, as exceptions with the code, field and advice that the gateway gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkup_client.error_codes import ERROR_CODES


class TalkupError(Exception):
    """Base of everything this package raises.

    `code` is one of the protocol's closed list, or one of this package's own: `connection_lost`, `client_too_slow`,
    `bad_answer`, `unsupported_file`, `unreadable_file`, `no_media`, `no_microphone`, `bad_setting`. `field` is the path
    of the offending field, `retry_after_ms` when to come back.
    """

    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retryable: bool = False,
        retry_after_ms: int | None = None,
        stream_id: str | None = None,
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.message = message
        self.field = field
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms
        self.stream_id = stream_id


class RefusedError(TalkupError):
    """The gateway answered with `error`: see `code` and `field`."""


class AuthenticationError(RefusedError):
    """No credential, a wrong one, or one that does not allow this."""

    code = "unauthenticated"


class SessionLostError(TalkupError):
    """The session cannot be taken up again: it expired, or another connection took it over."""

    code = "session_expired"


class ConnectionLostError(TalkupError):
    """No connection to the gateway, and none could be made again in time."""

    code = "connection_lost"


class SlowReaderError(TalkupError):
    """Events came faster than the program read them, up to the bound."""

    code = "client_too_slow"


class BadAnswerError(TalkupError):
    """The other end does not speak this protocol."""

    code = "bad_answer"


class UnsupportedFileError(TalkupError):
    """A file that cannot be streamed; the message says why."""

    code = "unsupported_file"


class UnreadableFileError(UnsupportedFileError):
    """A file that is missing, a folder, or not to be read by this user; the message says which."""

    code = "unreadable_file"


class NoMediaError(TalkupError):
    """The stream is over, and nothing of what was sent was a recording that can be decoded."""

    code = "no_media"


class MicrophoneError(TalkupError):
    """No sound can be had from a microphone; the message says what is missing."""

    code = "no_microphone"


class SettingError(TalkupError):
    """A parameter that cannot be used."""

    code = "bad_setting"


SESSION_ENDS: dict[str, type[TalkupError]] = {
    "unauthenticated": AuthenticationError,
    "permission_denied": AuthenticationError,
    "session_expired": SessionLostError,
    "superseded": SessionLostError,
}
"""Errors after which reconnecting does not help, by code."""


def from_error_data(data: Mapping[str, Any]) -> TalkupError:
    """The exception for the `data` of an `error` message."""
    code = str(data.get("code", "internal"))
    traits = ERROR_CODES.get(code)
    retry_after = data.get("retry_after_ms")
    return SESSION_ENDS.get(code, RefusedError)(
        str(data.get("message", code)),
        code=code,
        field=data.get("field"),
        retryable=bool(data.get("retryable", traits is not None and traits.retryable)),
        retry_after_ms=retry_after if isinstance(retry_after, int) else None,
        stream_id=data.get("stream_id"),
    )
