"""What a worker sends, from bytes: whether it is worth parsing, and what it says."""

from __future__ import annotations

from typing import Final, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from talkup.v1 import task_pb2, worker_service_pb2

from gateway.upstream.failures import CallFailed
from multiplex.fields import FieldBound

log = structlog.get_logger()

M = TypeVar("M", bound=Message)

_RESULT_FIELDS: Final = FieldBound(task_pb2.TaskResult, 65_536)
"""Fields of a result: six times those of the longest summary, of ten hours with a point of pace every ten seconds."""

_DESCRIPTION_FIELDS: Final = FieldBound(worker_service_pb2.DescribeResponse, 4_096)
"""Fields of a description: many times what a hundred languages, the formats and the models take."""


def parse_result(data: bytes) -> task_pb2.TaskResult:
    """A result as it came. Raises CallFailed for one that cannot be parsed, or has too many fields."""
    return _parsed(task_pb2.TaskResult, _RESULT_FIELDS, data)


def parse_description(data: bytes) -> worker_service_pb2.DescribeResponse:
    """What a worker says of itself, as it came. Raises CallFailed like `parse_result`."""
    return _parsed(worker_service_pb2.DescribeResponse, _DESCRIPTION_FIELDS, data)


def _parsed(kind: type[M], fields: FieldBound, data: bytes) -> M:
    if fields.is_exceeded(data):
        problem = "too many fields"
    else:
        try:
            return kind.FromString(data)
        except DecodeError:
            problem = "cannot be parsed"
    log.warning("a worker's message is refused", kind=kind.__name__, problem=problem, bytes=len(data))
    raise CallFailed("INTERNAL")
