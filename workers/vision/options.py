"""What a client asked for, checked: rate, and whether expression scores and mesh points are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from talkup.v1 import analysis_pb2, error_pb2

from workers.engine import EngineError

SIGNALS: Final = (
    "behavior_analyzer",
    "emotion_analyzer",
    "presence",
    "framing",
    "quality",
    "head",
    "gaze",
    "eyes",
    "mouth",
    "motion",
    "expression",
    "landmarks",
    "events",
    "windows",
)
"""TalkUp's services and the signals by name. All but `expression` and `landmarks` are always given."""

_EXPRESSION: Final = ("emotion_analyzer", "expression")
_LANDMARKS: Final = "landmarks"
_RATES: Final = range(1, 61)


@dataclass(frozen=True, slots=True)
class VisionStreamOptions:
    """`max_fps`: frames per second analysed at most, None: all that come; `every_frame`: the sender waits instead."""

    expression: bool
    max_fps: int | None
    landmarks: bool = False
    every_frame: bool = False


def stream_options(asked: analysis_pb2.VisionOptions) -> VisionStreamOptions:
    """The options of one stream; `emotion_analyzer` gets movements of the face, no emotion. Raises EngineError."""
    unknown = [name for name in asked.signals if name not in SIGNALS]
    if unknown:
        raise EngineError(
            error_pb2.ERROR_CODE_BAD_MESSAGE, f"one or more of {', '.join(SIGNALS)}", field="vision.signals"
        )
    if asked.HasField("max_fps") and asked.max_fps not in _RATES:
        raise EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, "1 to 60", field="vision.max_fps")
    named = any(name in _EXPRESSION for name in asked.signals)
    return VisionStreamOptions(
        asked.expression if asked.HasField("expression") else named,
        asked.max_fps if asked.HasField("max_fps") else None,
        _LANDMARKS in asked.signals,
        asked.every_frame,
    )
