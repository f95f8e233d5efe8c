"""Results and errors that both kinds of speech session send."""

from __future__ import annotations

from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from workers.engine import EngineError
from workers.stt.tuning import milliseconds


def speech_result(kind: transcript_pb2.SpeechEventType, position: int) -> task_pb2.TaskResult:
    """Speech begins or ends at this sample."""
    event = transcript_pb2.SpeechEvent(type=kind, media_time_ms=milliseconds(position))
    return task_pb2.TaskResult(speech_event=event)


def deadline_passed() -> EngineError:
    """The stream has no time left."""
    return EngineError(error_pb2.ERROR_CODE_DEADLINE_EXCEEDED, "the stream's deadline has passed")


def model_failed() -> EngineError:
    """The model failed; another worker may do better."""
    return EngineError(error_pb2.ERROR_CODE_INTERNAL, "the speech model failed", retryable=True)
