"""Exceptions, with the code, field and retry advice that the gateway sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkup_client.error_codes import ERROR_CODES


class TalkupError(Exception):
    """Base of everything this package raises.

    `code` is an error code of the protocol, or one of this package: `connection_lost`, `client_too_slow`, `bad_answer`,
    `unsupported_file`, `unreadable_file`, `unwritable_file`, `no_media`, `no_microphone`, `bad_setting`. `field` is the
    path of the offending field. `retry_after_ms` says how long to wait before you retry.
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
    """The credential is missing, wrong, or does not allow this."""

    code = "unauthenticated"


class SessionLostError(TalkupError):
    """The session cannot be resumed: it expired, or another connection took it over."""

    code = "session_expired"


class ConnectionLostError(TalkupError):
    """The client could not connect, or could not reconnect in time."""

    code = "connection_lost"


class SlowReaderError(TalkupError):
    """The program left too many events unread: the inbox is full."""

    code = "client_too_slow"


class BadAnswerError(TalkupError):
    """The other end does not speak this protocol."""

    code = "bad_answer"


class UnsupportedFileError(TalkupError):
    """A file that cannot be streamed; the message says why."""

    code = "unsupported_file"


class UnreadableFileError(UnsupportedFileError):
    """A missing file, a folder, or a file without read permission; the message says which."""

    code = "unreadable_file"


class UnwritableFileError(TalkupError):
    """A file, or standard output, that cannot be written; the message says which, and why."""

    code = "unwritable_file"


class NoMediaError(TalkupError):
    """The stream is over, and nothing that was sent could be decoded."""

    code = "no_media"


class MicrophoneError(TalkupError):
    """No microphone is available, or its library is missing; the message says which."""

    code = "no_microphone"


class SettingError(TalkupError):
    """An invalid parameter."""

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
