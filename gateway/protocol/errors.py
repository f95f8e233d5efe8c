"""The closed list of error codes, with the traits that error.proto gives each: status, close code, retryable.

Errors are values (`Problem`), created where something is refused and turned into an `error` message in one place. The
numbers of `status` are those of google.rpc.Code (grpc/doc/statuscodes.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

from talkup.v1 import error_pb2

from gateway.contract import traits_of


class Code(StrEnum):
    """The name of an error on the WebSocket."""

    BAD_JSON = "bad_json"
    BAD_MESSAGE = "bad_message"
    UNKNOWN_TYPE = "unknown_type"
    UNSUPPORTED_VERSION = "unsupported_version"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    UNKNOWN_STREAM = "unknown_stream"
    STREAM_EXISTS = "stream_exists"
    TOO_MANY_STREAMS = "too_many_streams"
    UNSUPPORTED_FORMAT = "unsupported_format"
    BAD_PAYLOAD = "bad_payload"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    GAP = "gap"
    ORPHAN_CHUNK = "orphan_chunk"
    MEDIA_ERROR = "media_error"
    RATE_LIMITED = "rate_limited"
    MEDIA_LIMIT = "media_limit"
    BUSY = "busy"
    NO_WORKER = "no_worker"
    WORKER_FAILED = "worker_failed"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    SESSION_EXPIRED = "session_expired"
    SUPERSEDED = "superseded"
    INTERNAL = "internal"


class CloseCode(IntEnum):
    """WebSocket close codes (RFC 6455, section 7.4) that the gateway uses."""

    NORMAL = 1000
    BAD_UTF8 = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    # Drain and restart. Not 1001: it would strand browsers, whose reconnect logic takes it as final.
    RESTART = 1012
    BUSY = 1013
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403


class GrpcStatus(IntEnum):
    """The google.rpc.Code numbers in use; defined here because the protocol core does not import grpc."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class ErrorSpec:
    """One row of the table.

    `close` is the close code of the socket if the error concerns the entire connection; an error that names a stream
    never closes the socket. `ends_session`: reconnecting does not help.
    """

    code: Code
    status: GrpcStatus
    close: CloseCode | None
    retryable: bool
    ends_session: bool

    @property
    def proto(self) -> int:
        """The number of the same code in the worker contract."""
        return error_pb2.ErrorCode.Value(f"ERROR_CODE_{self.code.name}")


def _spec(code: Code) -> ErrorSpec:
    traits = traits_of(error_pb2.ErrorCode.Value(f"ERROR_CODE_{code.name}"))
    close = CloseCode(traits.close_code) if traits.close_code else None
    return ErrorSpec(code, GrpcStatus(traits.grpc_status), close, traits.retryable, traits.ends_session)


ERRORS: Final[Mapping[Code, ErrorSpec]] = MappingProxyType({code: _spec(code) for code in Code})

_BY_PROTO: Final[Mapping[int, Code]] = {spec.proto: spec.code for spec in ERRORS.values()}


def from_proto(code: int) -> Code:
    """The WebSocket name of a worker's error code; `internal` for a code that is not in the list."""
    return _BY_PROTO.get(code, Code.INTERNAL)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was refused or went wrong.

    `message` is for people and holds no internals, payloads or credentials. `field` is the path of the offending field
    as the client wrote it. `retryable` None: as in the table. `from_sequence` and `to_sequence` are the first and last
    missing chunk of a gap, in the client's numbers. `reason`: why single pictures are refused; the stream continues.
    """

    code: Code
    message: str
    stream_id: str | None = None
    field: str | None = None
    retryable: bool | None = None
    retry_after_ms: int | None = None
    from_sequence: int | None = None
    to_sequence: int | None = None
    reason: str | None = None

    @property
    def spec(self) -> ErrorSpec:
        return ERRORS[self.code]

    def of_stream(self, stream_id: str) -> Problem:
        """The same problem with this stream's id."""
        return replace(self, stream_id=stream_id)

    def prefixed(self, service: str) -> Problem:
        """The same problem, attributed to this service."""
        return replace(self, message=f"{service}: {self.message}")
