"""Error codes on the gRPC side: the status of each, from the table in error.proto, and the refusal that carries both.

What goes wrong before a stream is admitted, or breaks the contract, ends the call with a gRPC status. What goes wrong
with an admitted stream travels in band as `TaskResult.error` with `fatal` set, and the call ends OK.
"""

from __future__ import annotations

from typing import Any, Final

import grpc
from talkup.v1 import error_pb2

from workers.engine import EngineError

ERROR_METADATA_KEY: Final = "talkup-error-bin"
"""Trailing metadata of a refused call: a serialised `talkup.v1.Error`."""

PUSHBACK_METADATA_KEY: Final = "grpc-retry-pushback-ms"
"""Trailing metadata saying when to try again, milliseconds in decimal (gRFC A6)."""

# The type stubs of protobuf do not know extensions of generated code.
_TRAITS: Final[Any] = error_pb2.traits
_STATUS_BY_NUMBER: Final = {status.value[0]: status for status in grpc.StatusCode}


class RefusedError(EngineError):
    """A call that ends with a gRPC status instead of results."""


def traits_of(code: int) -> error_pb2.ErrorTraits:
    """The traits of an error code in error.proto; those of `internal` for a code that is not in the list."""
    values = error_pb2.ErrorCode.DESCRIPTOR.values_by_number
    value = values.get(code, values[error_pb2.ERROR_CODE_INTERNAL])
    traits: error_pb2.ErrorTraits = value.GetOptions().Extensions[_TRAITS]
    return traits


def status_of(code: error_pb2.ErrorCode) -> grpc.StatusCode:
    """The gRPC status of an error code."""
    return _STATUS_BY_NUMBER[traits_of(code).grpc_status]


def to_message(error: EngineError, *, fatal: bool) -> error_pb2.Error:
    """The wire form of a failure."""
    return error_pb2.Error(
        status_code=traits_of(error.code).grpc_status,
        message=error.message,
        code=error.code,
        field=error.field,
        retryable=error.retryable,
        retry_after_ms=error.retry_after_ms,
        fatal=fatal,
    )


def trailing_metadata(error: EngineError) -> tuple[tuple[str, str | bytes], ...]:
    """What a refused caller reads in addition to the status: the whole error, and the pushback if one is known."""
    whole = (ERROR_METADATA_KEY, to_message(error, fatal=True).SerializeToString())
    if error.retry_after_ms is None:
        return (whole,)
    return whole, (PUSHBACK_METADATA_KEY, str(error.retry_after_ms))


def details(error: EngineError) -> str:
    """The status text: the message, led by the field to blame."""
    return f"{error.field}: {error.message}" if error.field else error.message
