"""A window worked out again from the frames that a client was sent, by separate formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from talkup.v1 import analysis_pb2

WINDOW_MS = 10_000
Frame = analysis_pb2.FrameSignals


def single(value: float) -> float:
    """As a message carries it: in single precision."""
    return analysis_pb2.Measure(value=value).value


def inside(sent: Iterable[analysis_pb2.Analysis], window: analysis_pb2.WindowSignals) -> list[analysis_pb2.Analysis]:
    """The frames of a window."""
    since = window.t0_ms if window.whole_session else window.t1_ms - WINDOW_MS
    return [each for each in sent if each.HasField("frame") and since <= each.media_time_ms <= window.t1_ms]


def values(frames: Sequence[Frame], part: str, name: str) -> list[float]:
    """A signal of the frames in which it was measured."""
    parts = [getattr(frame, part) if part else frame for frame in frames]
    return [getattr(each, name).value for each in parts if each.HasField(name)]


def mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def share(numbers: Sequence[float], test: Callable[[float], bool]) -> float | None:
    return mean([float(test(number)) for number in numbers])


def spread(numbers: Sequence[float]) -> float | None:
    if len(numbers) < 2:
        return None
    middle = sum(numbers) / len(numbers)
    return math.sqrt(max(0.0, sum(number * number for number in numbers) / len(numbers) - middle * middle))


def check_window(sent: Sequence[analysis_pb2.Analysis], window: analysis_pb2.WindowSignals) -> None:
    """Assert that a window says what its frames say, to the last bit, and is absent where they say nothing."""
    results = inside(sent, window)
    frames = [result.frame for result in results]
    assert window.frames == len(frames)
    span = results[-1].media_time_ms - results[0].media_time_ms
    expected = {
        "presence_ratio": share([frame.HasField("face") for frame in frames], bool),
        "facing_camera_ratio": share(values(frames, "gaze", "facing_camera"), lambda value: value >= 0.5),
        "smile_ratio": share(values(frames, "mouth", "smile"), lambda value: value >= 0.5),
        "motion": mean(values(frames, "", "motion")),
        "luma": mean(values(frames, "quality", "luma")),
        "yaw_spread_degrees": spread(values(frames, "head", "yaw")),
        "fps": (len(frames) - 1) * 1000 / span if span else None,
    }
    for name, value in expected.items():
        assert window.HasField(name) == (value is not None), name
        if value is not None:
            assert getattr(window, name).value == single(value), name
    if window.HasField("nods"):
        assert window.nods.value == sum(event.type == "nod" for result in results for event in result.events)
