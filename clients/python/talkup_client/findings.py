"""Results, events and captions of a recording, looked up by time. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from talkup_client.cues import Cue, cues
from talkup_client.events import AnalysisResult, TranscriptUpdate

HOLD_MS = 500
"""How long a result is shown if no newer one arrives."""

FRAME_SLACK_MS = 20
"""Half a frame at 25 frames per second, since times are rounded in transit."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The findings for one frame: the newest result (None: none recent enough), current events, the caption."""

    frame: Mapping[str, Any] | None
    events: tuple[str, ...]
    caption: str


@dataclass(slots=True)
class Findings:
    """Collects results and finals as they arrive; once all are there, `timeline` makes them available by time."""

    results: list[AnalysisResult] = field(default_factory=list)
    finals: list[TranscriptUpdate] = field(default_factory=list)

    def add(self, event: AnalysisResult | TranscriptUpdate) -> None:
        """Keep a result or a final; ignore interims."""
        match event:
            case AnalysisResult():
                self.results.append(event)
            case TranscriptUpdate(is_final=True):
                self.finals.append(event)

    def timeline(self) -> Timeline:
        """All findings, in order of time."""
        return Timeline(self)


class Timeline:
    """Findings in order of time."""

    def __init__(self, findings: Findings) -> None:
        frames = [(result.media_time_ms, result.data["frame"]) for result in findings.results if result.data["frame"]]
        frames.sort(key=lambda entry: entry[0])
        self._times = [time for time, _ in frames]
        self._frames = [frame for _, frame in frames]
        self._events = _spans(findings.results)
        self._cues: list[Cue] = cues(findings.finals)

    def at(self, media_ms: float) -> Moment:
        """The findings for the frame at a time."""
        place = bisect_right(self._times, media_ms + FRAME_SLACK_MS) - 1
        fresh = place >= 0 and media_ms - self._times[place] <= HOLD_MS
        events = (name for name, start, end in self._events if start <= media_ms + FRAME_SLACK_MS and media_ms < end)
        said = [cue.text for cue in self._cues if cue.start_ms <= media_ms <= cue.end_ms]
        return Moment(self._frames[place] if fresh else None, tuple(dict.fromkeys(events)), said[-1] if said else "")


def _spans(results: list[AnalysisResult]) -> list[tuple[str, float, float]]:
    """Events that ended, as (type, start, end); each lasts at least `HOLD_MS`."""
    return [
        (event["type"], event["t0_ms"], max(event["t1_ms"], event["t0_ms"] + HOLD_MS))
        for result in results
        for event in result.data["events"]
        if event["t1_ms"] is not None
    ]
