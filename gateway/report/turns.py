"""The turns between the speakers of a session, from their words and their sound on the report's clock. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping

from gateway.protocol import turns as protocol
from gateway.protocol.spoken import spoken
from gateway.protocol.turns import TurnTaking
from gateway.report.document import Interruption, Measure, Overlap, Response, Span, SpeakerTurns, Turns
from gateway.report.measures import Heard


class Talk:
    """Who speaks when. `confidence` of a stream is the mean of its words: all that follows rests on them."""

    def __init__(self) -> None:
        self._taking = TurnTaking()
        self._confidences: dict[int, list[float]] = {}

    def add(
        self, stream: int, words: Iterable[tuple[int, int, float]], sound: Iterable[tuple[int, int]], offset_ms: int
    ) -> None:
        """A stream whose media clock begins at `offset_ms` on the report's.

        `words`: start, end and confidence of each; `sound`: the stretches in which the sound says that somebody speaks.
        """
        spans = []
        for t0_ms, t1_ms, confidence in words:
            spans.append(protocol.Span(t0_ms, max(t0_ms, t1_ms)))
            self._confidences.setdefault(stream, []).append(confidence)
        for t0_ms, t1_ms in spoken(spans, (protocol.Span(*each) for each in sound)):
            self._taking.add(str(stream), t0_ms + offset_ms, t1_ms + offset_ms)

    def heard(self, stream: int) -> Heard | None:
        """The words of a stream; None if it has none."""
        found = self._confidences.get(stream)
        return None if not found else Heard(len(found), statistics.fmean(found))

    def talk(self) -> dict[int, int]:
        """How long each stream that has words speaks, in ms."""
        return {int(stream): talk for stream, talk in self._taking.talk_ms.items()}

    def speech(self) -> dict[int, tuple[Span, ...]]:
        """The stretches of speech of each stream that has words."""
        found: dict[int, list[Span]] = {}
        for stretch in self._taking.stretches:
            found.setdefault(int(stretch.stream_id), []).append(Span(stretch.t0_ms, stretch.t1_ms))
        return {stream: tuple(spans) for stream, spans in found.items()}

    def turns(self) -> Turns | None:
        """The turns; None if fewer than two streams have words. The least sure speaker's confidence is that of all."""
        confidences = {stream: statistics.fmean(found) for stream, found in self._confidences.items()}
        if len(confidences) < 2:
            return None
        taking = self._taking
        overlaps = tuple(Overlap(o.t0_ms, o.t1_ms, int(o.first), int(o.second)) for o in taking.overlaps)
        interruptions = tuple(Interruption(i.t0_ms, int(i.by), int(i.of), i.overlap_ms) for i in taking.interruptions)
        responses = tuple(Response(r.t0_ms, int(r.of), int(r.after), r.latency_ms) for r in taking.latencies)
        confidence = min(confidences.values())
        return Turns(
            overlap_ms=Measure(sum(o.t1_ms - o.t0_ms for o in overlaps), "ms", confidence),
            speakers=tuple(_turns_of(stream, confidences, interruptions, responses) for stream in sorted(confidences)),
            overlaps=overlaps,
            interruptions=interruptions,
            responses=responses,
        )


def _turns_of(
    stream: int,
    confidences: Mapping[int, float],
    interruptions: tuple[Interruption, ...],
    responses: tuple[Response, ...],
) -> SpeakerTurns:
    confidence = min(confidences.values())
    latencies = [response.latency_ms for response in responses if response.of == stream]
    return SpeakerTurns(
        stream=stream,
        responses=Measure(len(latencies), "count", confidence),
        response_ms=Measure(statistics.median(latencies), "ms", confidence) if latencies else None,
        interruptions=Measure(sum(each.by == stream for each in interruptions), "count", confidence),
    )
