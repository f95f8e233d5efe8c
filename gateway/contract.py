"""The traits of the worker contract's error codes, read from the options in error.proto, the only table of them."""

from __future__ import annotations

from typing import Any, Final

from talkup.v1 import error_pb2

# protobuf's type stubs do not know the extensions of generated code.
_TRAITS: Final[Any] = error_pb2.traits


def traits_of(code: int) -> error_pb2.ErrorTraits:
    """The traits of an error code; those of `internal` for a code that is not in the list."""
    values = error_pb2.ErrorCode.DESCRIPTOR.values_by_number
    value = values.get(code, values[error_pb2.ERROR_CODE_INTERNAL])
    traits: error_pb2.ErrorTraits = value.GetOptions().Extensions[_TRAITS]
    return traits
