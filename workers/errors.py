"""One table from the closed list of error codes to gRPC statuses, and the refusal that carries both.

What goes wrong before a stream is admitted, or breaks the contract, ends the call with a gRPC status. What goes wrong
with an admitted stream travels in band as `TaskResult.error` with `fatal` set, and the call ends OK.
"""

from __future__ import annotations

from typing import Final

import grpc
from talkup.v1 import error_pb2

from workers.engine import EngineError

ERROR_METADATA_KEY: Final = "talkup-error-bin"
"""Trailing metadata of a refused call: a serialised `talkup.v1.Error`."""

PUSHBACK_METADATA_KEY: Final = "grpc-retry-pushback-ms"
"""Trailing metadata saying when to try again, milliseconds in decimal (gRFC A6)."""

_STATUS_OF_CODE: Final[dict[error_pb2.ErrorCode, grpc.StatusCode]] = {
    error_pb2.ERROR_CODE_BAD_MESSAGE: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_UNKNOWN_TYPE: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_UNSUPPORTED_VERSION: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    error_pb2.ERROR_CODE_PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_BAD_PAYLOAD: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_PAYLOAD_TOO_LARGE: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_ORPHAN_CHUNK: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_MEDIA_ERROR: grpc.StatusCode.INVALID_ARGUMENT,
    error_pb2.ERROR_CODE_RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    error_pb2.ERROR_CODE_MEDIA_LIMIT: grpc.StatusCode.FAILED_PRECONDITION,
    error_pb2.ERROR_CODE_BUSY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    error_pb2.ERROR_CODE_NO_WORKER: grpc.StatusCode.UNAVAILABLE,
    error_pb2.ERROR_CODE_WORKER_FAILED: grpc.StatusCode.UNAVAILABLE,
    error_pb2.ERROR_CODE_DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
    error_pb2.ERROR_CODE_SUPERSEDED: grpc.StatusCode.FAILED_PRECONDITION,
}


class RefusedError(EngineError):
    """A call that ends with a gRPC status instead of results."""


def status_of(code: error_pb2.ErrorCode) -> grpc.StatusCode:
    """The gRPC status of an error code; INTERNAL for a code that has no row."""
    return _STATUS_OF_CODE.get(code, grpc.StatusCode.INTERNAL)


def to_message(error: EngineError, *, fatal: bool) -> error_pb2.Error:
    """The wire form of a failure."""
    number: int = status_of(error.code).value[0]
    return error_pb2.Error(
        status_code=number,
        message=error.message,
        code=error.code,
        field=error.field,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        fatal=fatal,
    )


def trailing_metadata(error: EngineError) -> tuple[tuple[str, str | bytes], ...]:
    """What a refused caller reads beside the status: the whole error, and the pushback where one is known."""
    whole = (ERROR_METADATA_KEY, to_message(error, fatal=True).SerializeToString())
    if error.retry_after_ms is None:
        return (whole,)
    return whole, (PUSHBACK_METADATA_KEY, str(error.retry_after_ms))


def details(error: EngineError) -> str:
    """The status text: the message, led by the field to blame."""
    return f"{error.field}: {error.message}" if error.field else error.message
