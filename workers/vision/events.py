"""Frames to events: something begins, lasts and ends, with hysteresis at both edges. Pure.

A condition that holds for `enter_ms` begins an event at the first frame that showed it; one that fails for `leave_ms`
ends it at the first frame that did not. A frame on which the condition cannot be measured changes nothing. Faces are
counted only on some frames: a change between two counts gets the time half-way between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
from talkup.v1 import analysis_pb2

Frame = analysis_pb2.FrameSignals

COUNT_MS: Final = 660
"""Between two counts at most, from 3 frames per second on; what changes over a longer hole is dated at its end."""

BLIND_MS: Final = 2_000
"""An event whose condition has not been measurable for this long is over at the last frame that showed it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of the table; `holds` says whether the condition is met (None: not measurable) and with what confidence.

    `counts`: it concerns the number of faces, so frames without a count are skipped.
    """

    type: str
    enter_ms: int
    leave_ms: int
    holds: Callable[[Frame], tuple[bool | None, float]]
    counts: bool = False


def _reason(name: str) -> Callable[[Frame], tuple[bool | None, float]]:
    def holds(frame: Frame) -> tuple[bool | None, float]:
        return name in frame.quality.reasons, 0.8

    return holds


def _framing(test: Callable[[analysis_pb2.Framing], bool]) -> Callable[[Frame], tuple[bool | None, float]]:
    def holds(frame: Frame) -> tuple[bool | None, float]:
        if not frame.HasField("framing"):
            return None, 0.0
        return test(frame.framing), frame.framing.dx.confidence

    return holds


def _measured(
    pick: Callable[[Frame], tuple[bool, analysis_pb2.Measure]], test: Callable[[float], bool]
) -> Callable[[Frame], tuple[bool | None, float]]:
    def holds(frame: Frame) -> tuple[bool | None, float]:
        known, measure = pick(frame)
        return (test(measure.value), measure.confidence) if known else (None, 0.0)

    return holds


def _facing(frame: Frame) -> tuple[bool, analysis_pb2.Measure]:
    return frame.gaze.HasField("facing_camera"), frame.gaze.facing_camera


def _smile(frame: Frame) -> tuple[bool, analysis_pb2.Measure]:
    return frame.mouth.HasField("smile"), frame.mouth.smile


def _roll(frame: Frame) -> tuple[bool, analysis_pb2.Measure]:
    return frame.head.HasField("roll"), frame.head.roll


CONDITIONS: Final = (
    Condition("face_lost", 400, 250, lambda frame: (frame.face_count == 0, 0.9)),
    Condition("multiple_faces", 600, 600, lambda frame: (frame.face_count > 1, 0.9), counts=True),
    Condition("looking_away", 2_000, 400, _measured(_facing, lambda value: value < 0.4)),
    Condition("too_dark", 1_000, 1_000, _reason("too_dark")),
    Condition("backlit", 1_000, 1_000, _reason("backlit")),
    Condition("blurred", 1_000, 1_000, _reason("blurred")),
    Condition("off_center", 1_000, 600, _framing(lambda framing: abs(framing.dx.value) > 0.25)),
    Condition("too_close", 1_000, 600, _framing(lambda framing: framing.size_ratio.value > 0.7)),
    Condition("too_far", 1_000, 600, _framing(lambda framing: framing.size_ratio.value < 0.12)),
    Condition("smile", 300, 300, _measured(_smile, lambda value: value >= 0.5)),
    Condition("head_tilt", 500, 400, _measured(_roll, lambda value: abs(value) > 15)),
)
"""Every lasting event; `face_back` and `nod` are moments and stand below."""


class Memory(msgspec.Struct, array_like=True):
    """What one condition remembers, media milliseconds; `began` None while there is no event.

    `seen`: when it was last met; `missed`: when one that counts faces was last not met.
    """

    began: int | None = None
    since: int | None = None
    seen: int = 0
    trust: float = 0.0
    missed: int | None = None


class EventFinder:
    """One stream's events."""

    def __init__(self, memories: dict[str, Memory] | None = None) -> None:
        known = memories or {}
        self.memories = {condition.type: known.get(condition.type, Memory()) for condition in CONDITIONS}

    def observe(self, frame: Frame, media_ms: int, *, counted: bool = True) -> list[analysis_pb2.VisionEvent]:
        """The events that begin or end with the next frame; `counted`: whether its faces were counted on it."""
        found: list[analysis_pb2.VisionEvent] = []
        for condition in CONDITIONS:
            if counted or not condition.counts:
                found += self._one(condition, self.memories[condition.type], frame, media_ms)
        return found

    def finish(self, media_ms: int) -> list[analysis_pb2.VisionEvent]:
        """End the events that still last, since the stream ends."""
        ended = []
        for name, memory in self.memories.items():
            if memory.began is not None:
                ended.append(_event(name, memory, media_ms))
                memory.began = memory.since = None
        return ended

    def _one(
        self, condition: Condition, memory: Memory, frame: Frame, media_ms: int
    ) -> Iterator[analysis_pb2.VisionEvent]:
        holds, trust = condition.holds(frame)
        if holds is None:
            if memory.began is None:
                memory.since = None
            elif media_ms - memory.seen >= BLIND_MS:
                yield _event(condition.type, memory, memory.seen)
                memory.began = memory.since = None
            return
        if memory.began is None:
            yield from self._before(condition, memory, media_ms, trust, holds=holds)
        elif holds:
            memory.since = None
        else:
            memory.since = media_ms if memory.since is None else memory.since
            if media_ms - memory.since >= condition.leave_ms:
                ended_ms = _edge(condition, memory.seen, memory.since)
                yield _event(condition.type, memory, ended_ms)
                if condition.type == "face_lost":
                    yield analysis_pb2.VisionEvent(
                        type="face_back", t0_ms=ended_ms, t1_ms=ended_ms, confidence=memory.trust
                    )
                memory.began = memory.since = None
        if holds:
            memory.seen = media_ms
        elif condition.counts:
            memory.missed = media_ms

    @staticmethod
    def _before(
        condition: Condition, memory: Memory, media_ms: int, trust: float, *, holds: bool
    ) -> Iterator[analysis_pb2.VisionEvent]:
        if not holds:
            memory.since = None
            return
        if memory.since is None:
            memory.since, memory.trust = media_ms, trust
        memory.trust = max(memory.trust, trust)
        if media_ms - memory.since >= condition.enter_ms:
            memory.began, memory.since = _edge(condition, memory.missed, memory.since), None
            yield _event(condition.type, memory, None)


def _edge(condition: Condition, before_ms: int | None, media_ms: int) -> int:
    """When a condition changed that was otherwise at `before_ms`: half-way, where only uncounted frames lie between."""
    if not condition.counts or before_ms is None or media_ms - before_ms > COUNT_MS:
        return media_ms
    return (before_ms + media_ms) // 2


def _event(name: str, memory: Memory, ended: int | None) -> analysis_pb2.VisionEvent:
    return analysis_pb2.VisionEvent(type=name, t0_ms=memory.began or 0, t1_ms=ended, confidence=memory.trust)
