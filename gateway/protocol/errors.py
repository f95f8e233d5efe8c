"""The closed list of error codes: one table with gRPC status, close code and whether trying again makes sense.

Errors are values (`Problem`), made where something is refused and turned into an `error` message in one place. The
numbers of `status` are those of google.rpc.Code (grpc/doc/statuscodes.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

from talkup.v1 import error_pb2


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
    """WebSocket close codes (RFC 6455, section 7.4) and what the gateway means by them."""

    NORMAL = 1000
    BAD_UTF8 = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    # Drain and restart: 1001 would strand browsers, whose reconnect logic takes it as final.
    RESTART = 1012
    BUSY = 1013
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403


class GrpcStatus(IntEnum):
    """The google.rpc.Code numbers in use; named here because the protocol core loads no grpc."""

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

    `close` is the code with which the socket is closed when the error concerns the connection as a whole; an error
    that names a stream never closes the socket.
    """

    code: Code
    status: GrpcStatus
    close: CloseCode | None
    retryable: bool

    @property
    def proto(self) -> int:
        """The number of the same code in the worker contract."""
        return error_pb2.ErrorCode.Value(f"ERROR_CODE_{self.code.name}")


def _table(*rows: tuple[Code, GrpcStatus, CloseCode | None, bool]) -> Mapping[Code, ErrorSpec]:
    return MappingProxyType({row[0]: ErrorSpec(*row) for row in rows})


ERRORS: Final = _table(
    (Code.BAD_JSON, GrpcStatus.INVALID_ARGUMENT, None, False),
    (Code.BAD_MESSAGE, GrpcStatus.INVALID_ARGUMENT, None, False),
    (Code.UNKNOWN_TYPE, GrpcStatus.UNIMPLEMENTED, None, False),
    (Code.UNSUPPORTED_VERSION, GrpcStatus.UNIMPLEMENTED, None, False),
    (Code.UNAUTHENTICATED, GrpcStatus.UNAUTHENTICATED, CloseCode.UNAUTHENTICATED, False),
    (Code.PERMISSION_DENIED, GrpcStatus.PERMISSION_DENIED, CloseCode.FORBIDDEN, False),
    (Code.UNKNOWN_STREAM, GrpcStatus.NOT_FOUND, None, False),
    (Code.STREAM_EXISTS, GrpcStatus.ALREADY_EXISTS, None, False),
    (Code.TOO_MANY_STREAMS, GrpcStatus.RESOURCE_EXHAUSTED, None, True),
    (Code.UNSUPPORTED_FORMAT, GrpcStatus.INVALID_ARGUMENT, None, False),
    (Code.BAD_PAYLOAD, GrpcStatus.INVALID_ARGUMENT, None, False),
    (Code.PAYLOAD_TOO_LARGE, GrpcStatus.INVALID_ARGUMENT, CloseCode.TOO_BIG, False),
    (Code.GAP, GrpcStatus.DATA_LOSS, None, False),
    (Code.ORPHAN_CHUNK, GrpcStatus.FAILED_PRECONDITION, None, False),
    (Code.MEDIA_ERROR, GrpcStatus.INVALID_ARGUMENT, None, False),
    (Code.RATE_LIMITED, GrpcStatus.RESOURCE_EXHAUSTED, CloseCode.POLICY, True),
    (Code.MEDIA_LIMIT, GrpcStatus.RESOURCE_EXHAUSTED, None, False),
    (Code.BUSY, GrpcStatus.RESOURCE_EXHAUSTED, CloseCode.BUSY, True),
    (Code.NO_WORKER, GrpcStatus.UNAVAILABLE, None, True),
    (Code.WORKER_FAILED, GrpcStatus.INTERNAL, None, False),
    (Code.DEADLINE_EXCEEDED, GrpcStatus.DEADLINE_EXCEEDED, None, True),
    (Code.SESSION_EXPIRED, GrpcStatus.NOT_FOUND, None, False),
    (Code.SUPERSEDED, GrpcStatus.ABORTED, CloseCode.NORMAL, False),
    (Code.INTERNAL, GrpcStatus.INTERNAL, CloseCode.INTERNAL, True),
)

_BY_PROTO: Final[Mapping[int, Code]] = {spec.proto: spec.code for spec in ERRORS.values()}


def from_proto(code: int) -> Code:
    """The WebSocket name of a worker's error code; `internal` for one that is not in the list."""
    return _BY_PROTO.get(code, Code.INTERNAL)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that was refused or went wrong.

    `message` is for a person and holds no internals, payloads or credentials. `field` is the path of the offending
    field as the client wrote it. `retryable` None takes the table's word. `from_sequence` and `to_sequence` bound a
    gap, in the client's numbers, both inclusive.
    """

    code: Code
    message: str
    stream_id: str | None = None
    field: str | None = None
    retryable: bool | None = None
    retry_after_ms: int | None = None
    from_sequence: int | None = None
    to_sequence: int | None = None

    @property
    def spec(self) -> ErrorSpec:
        return ERRORS[self.code]

    def of_stream(self, stream_id: str) -> Problem:
        """The same problem, told about this stream."""
        return replace(self, stream_id=stream_id)

    def prefixed(self, service: str) -> Problem:
        """The same problem, told as one of this service alone."""
        return replace(self, message=f"{service}: {self.message}")
