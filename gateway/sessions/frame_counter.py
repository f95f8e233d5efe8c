"""A stream's cumulative frame numbers to increments. Pure.

A worker counts a stream from its beginning, over all its workers; a successor may tell smaller numbers than the last
message of its predecessor, as it goes on from the last progress. What this gateway counted is not counted again.
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
    """One session's streams, as many as it may have."""

    def __init__(self) -> None:
        self._seen: dict[str, Counter[str]] = {}

    def increments(self, stream_id: str, flow: task_pb2.Flow) -> Counter[str]:
        """Frames by what became of them (`analyzed`, or why not) since the last message of the stream."""
        told = Counter({"analyzed": flow.frames_analyzed})
        for drop in flow.dropped:
            told[OUTCOMES.get(drop.reason, "other")] += drop.count
        seen = self._seen.setdefault(stream_id, Counter())
        fresh = told - seen
        seen |= told
        return fresh
