"""What a worker stream yields: results, and notices that another worker has taken over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from talkup.v1 import error_pb2, task_pb2

from gateway.contract import traits_of
from gateway.upstream.replay import Gap


@dataclass(frozen=True, slots=True)
class FailoverNotice:
    """Another worker took over as attempt `attempt`; it gets the chunks from worker sequence `replayed_from` again."""

    attempt: int
    replayed_from: int


StreamItem: TypeAlias = task_pb2.TaskResult | FailoverNotice


def media_reached_ms(result: task_pb2.TaskResult, kind: str | None) -> int:
    """How far into the media a result of this kind reaches, milliseconds; 0 for a result without a time."""
    match kind:
        case "transcript":
            return result.transcript.end_ms
        case "analysis":
            return result.analysis.media_time_ms
        case _:
            return 0


def progress_alone(result: task_pb2.TaskResult) -> task_pb2.TaskResult | None:
    """What a worker committed in the message of its error: another worker continues after that. None: nothing."""
    if not result.HasField("progress"):
        return None
    committed = task_pb2.TaskResult()
    committed.CopyFrom(result)
    committed.ClearField("error")
    return committed


def gap_error(gap: Gap) -> error_pb2.Error:
    """The error that reports chunks lost in the gateway."""
    return error_pb2.Error(
        status_code=traits_of(error_pb2.ERROR_CODE_GAP).grpc_status,
        message="Media was lost while no worker could be reached.",
        code=error_pb2.ERROR_CODE_GAP,
        from_sequence=gap.first,
        to_sequence=gap.last,
        fatal=False,
    )
