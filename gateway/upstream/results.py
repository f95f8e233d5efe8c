"""What a worker sends for one stream, from bytes: whether it is worth parsing, and what it says."""

from __future__ import annotations

from typing import Final

import structlog
from google.protobuf.message import DecodeError
from talkup.v1 import task_pb2

from gateway.upstream.failures import CallFailed
from multiplex.fields import FieldBound

log = structlog.get_logger()

_FIELDS: Final = FieldBound(task_pb2.TaskResult, 65_536)
"""Fields of a result: six times those of the longest summary, of ten hours with a point of pace every ten seconds."""


def parse_result(data: bytes) -> task_pb2.TaskResult:
    """A result as it came. Raises CallFailed for one that cannot be parsed, or has too many fields."""
    if _FIELDS.is_exceeded(data):
        log.warning("a worker's result is refused", problem="too many fields", bytes=len(data))
        raise CallFailed("INTERNAL")
    try:
        return task_pb2.TaskResult.FromString(data)
    except DecodeError:
        log.warning("a worker's result is refused", problem="cannot be parsed", bytes=len(data))
        raise CallFailed("INTERNAL") from None
