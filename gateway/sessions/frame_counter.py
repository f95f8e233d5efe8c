"""Turns a stream's cumulative frame counts into increments. Pure.

Workers count the frames of a stream from its beginning, across workers. A successor may report smaller numbers than its
predecessor, because it resumes from the last progress; frames already counted here are not counted again.
"""

from __future__ import annotations

from collections import Counter

from talkup.v1 import task_pb2

OUTCOMES = {
    task_pb2.DROP_REASON_OVERLOAD: "overload",
    task_pb2.DROP_REASON_STALE: "stale",
    task_pb2.DROP_REASON_CORRUPT: "corrupt",
}


class FrameCounter:
    """Counts the frames of one session's streams."""

    def __init__(self) -> None:
        self._seen: dict[str, Counter[str]] = {}

    def increments(self, stream_id: str, flow: task_pb2.Flow) -> Counter[str]:
        """Frames that are new in this message of the stream, by outcome: `analyzed`, or why they were dropped."""
        reported = Counter({"analyzed": flow.frames_analyzed})
        for drop in flow.dropped:
            reported[OUTCOMES.get(drop.reason, "other")] += drop.count
        seen = self._seen.setdefault(stream_id, Counter())
        fresh = reported - seen
        seen |= reported
        return fresh
