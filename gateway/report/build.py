"""Builds the report of a session from its transcript and its analyses. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import msgspec

from gateway.analyses import StoredAnalysis
from gateway.protocol.joining import join_finals
from gateway.protocol.messages import DeliveryWindowData
from gateway.report import measures
from gateway.report.collected import Collected, collect
from gateway.report.comparison import compare
from gateway.report.document import (
    Event,
    Face,
    Measure,
    Moment,
    PauseBucket,
    Point,
    Report,
    ReportStream,
    Speaker,
)
from gateway.report.turns import Talk
from gateway.transcript import Segment, StreamTranscript, Transcript

_AROUND_MS = 2_000
"""How far the words around a moment may be from it."""


def build(
    transcript: Transcript, analyses: Sequence[Sequence[StoredAnalysis]], *, earlier: Report | None = None
) -> Report:
    """The report of a session.

    `analyses` are those of each of the transcript's streams, in the order of the streams; for streams beyond its end
    there are none. `earlier` is the report of an earlier session of the same people, for the comparison. Raises
    UnreadableAnalysisError.
    """
    paired = list(zip_longest(transcript.streams, analyses[: len(transcript.streams)], fillvalue=()))
    parts = _placed([_Part(stream, collect(stored)) for stream, stored in paired])  # type: ignore[arg-type]
    talk = Talk()
    for place, part in enumerate(parts):
        talk.add(place, _words(part.stream.segments), part.analyses.speech, part.offset_ms)
    report = Report(
        session_id=transcript.session_id,
        created_at=transcript.created_at,
        origin_unix_ms=min((part.origin_unix_ms for part in parts), default=round(transcript.created_at * 1000)),
        duration_ms=max((part.offset_ms + part.reach_ms for part in parts), default=0),
        complete=all(part.complete for part in parts),
        streams=tuple(_stream(part) for part in parts),
        speakers=tuple(_speakers(parts, talk)),
        faces=tuple(_faces(parts)),
        events=tuple(sorted(_events(parts), key=lambda event: (event.t0_ms, event.stream, event.type))),
        moments=tuple(sorted(_moments(parts), key=lambda moment: (moment.t0_ms, moment.stream))),
        turns=talk.turns(),
        comparison=None,
    )
    return report if earlier is None else msgspec.structs.replace(report, comparison=compare(report, earlier))


@dataclass(slots=True)
class _Part:
    """A stream on its way into the report."""

    stream: StreamTranscript
    analyses: Collected
    origin_unix_ms: int = 0
    offset_ms: int = 0
    is_placed_by_media: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known of it except that it existed."""
        return not (self.stream.segments or self.analyses.services)

    @property
    def reach_ms(self) -> int:
        """How far its words and analyses reach on its media clock."""
        return max([self.analyses.reach_ms, *(segment.end_ms for segment in self.stream.segments)])

    @property
    def complete(self) -> bool:
        """Whether it has ended, and its summaries have arrived."""
        has_summary = self.analyses.summary is not None or "delivery" not in self.analyses.services
        return self.stream.ended and has_summary


def _placed(parts: list[_Part]) -> list[_Part]:
    """Put all streams on one clock.

    The origins that the media tell are on the client's clock, and the times at which streams began on the gateway's.
    The two are never mixed: if one stream does not tell its origin, all are placed by when they began.
    """
    by_media = all(part.analyses.origin_unix_ms is not None for part in parts if not part.is_empty)
    for part in parts:
        origin = part.analyses.origin_unix_ms if by_media else None
        part.is_placed_by_media = origin is not None
        part.origin_unix_ms = round(part.stream.started_at * 1000) if origin is None else origin
    known = [part.origin_unix_ms for part in parts if part.is_placed_by_media or not by_media]
    start = min(known, default=min((part.origin_unix_ms for part in parts), default=0))
    for part in parts:
        if by_media and not part.is_placed_by_media:  # an empty stream: only its name is shown
            part.origin_unix_ms = start
        part.offset_ms = part.origin_unix_ms - start
    return parts


def _words(segments: Sequence[Segment]) -> Iterator[tuple[int, int, float]]:
    """Start, end and confidence of every word; a segment whose words have no times counts as one."""
    for segment in segments:
        if segment.words:
            yield from ((word.start_ms, word.end_ms, word.confidence) for word in segment.words)
        elif segment.text.strip():
            yield segment.start_ms, segment.end_ms, segment.confidence


def _stream(part: _Part) -> ReportStream:
    services = part.analyses.services | ({"stt"} if part.stream.segments else set())
    return ReportStream(
        stream_id=part.stream.stream_id,
        services=tuple(sorted(services)),
        offset_ms=part.offset_ms,
        duration_ms=part.reach_ms,
        clock="media" if part.is_placed_by_media else "arrival",
        complete=part.complete,
    )


def _speakers(parts: Sequence[_Part], talk: Talk) -> Iterator[Speaker]:
    """Every stream with words or with delivery."""
    talked, speech = talk.talk(), talk.speech()
    total = sum(talked.values())
    for place, part in enumerate(parts):
        analyses, heard = part.analyses, talk.heard(place)
        if heard is None and "delivery" not in analyses.services:
            continue
        whole = analyses.summary.whole if analyses.summary is not None else None
        spoken = None if heard is None else Measure(talked[place], "ms", heard.confidence)
        share = Measure(talked[place] / total, "ratio", heard.confidence) if heard is not None and total else None
        yield Speaker(
            stream=place,
            name=part.stream.stream_id,
            talk_ms=spoken,
            talk_ratio=share,
            measures=measures.of_speech_so_far(analyses.windows, heard)
            if whole is None
            else measures.of_whole_speech(whole, heard),
            whole=whole is not None,
            course=tuple(_point(window, part.offset_ms) for window in analyses.windows),
            pauses=_pauses(analyses),
            speech=speech.get(place, ()),
        )


def _point(window: DeliveryWindowData, offset_ms: int) -> Point:
    return Point(
        t0_ms=window.t0_ms + offset_ms,
        t1_ms=window.t1_ms + offset_ms,
        words_per_minute=measures.measure(window.words_per_minute, "words/min"),
        pitch_hz=measures.measure(window.pitch_hz, "Hz"),
        loudness_lufs=measures.measure(window.loudness_lufs, "LUFS"),
        speech_ratio=measures.measure(window.speech_ratio, "ratio"),
    )


def _pauses(analyses: Collected) -> tuple[PauseBucket, ...] | None:
    if analyses.summary is None or not analyses.summary.pauses:
        return None
    return tuple(
        PauseBucket(bucket.from_ms, bucket.to_ms, bucket.within_sentences, bucket.between_sentences)
        for bucket in analyses.summary.pauses
    )


def _faces(parts: Sequence[_Part]) -> Iterator[Face]:
    """Every stream with vision."""
    for place, part in enumerate(parts):
        if "vision" in part.analyses.services:
            whole = part.analyses.whole_sight
            found = measures.of_sight_so_far(part.analyses.sights) if whole is None else measures.of_whole_sight(whole)
            yield Face(place, part.stream.stream_id, found, whole is not None)


def _events(parts: Sequence[_Part]) -> Iterator[Event]:
    for place, part in enumerate(parts):
        for (service, _, _), event in part.analyses.events.items():
            t1_ms = None if event.t1_ms is None else event.t1_ms + part.offset_ms
            yield Event(place, service, event.type, event.t0_ms + part.offset_ms, t1_ms, event.confidence)


def _moments(parts: Sequence[_Part]) -> Iterator[Moment]:
    """The moments of every stream; a moment that comes without words takes those of the transcript."""
    for place, part in enumerate(parts):
        for moment in part.analyses.summary.moments if part.analyses.summary is not None else ():
            words = moment.words or _words_around(part.stream.segments, moment.t0_ms, moment.t1_ms)
            t0_ms, t1_ms = moment.t0_ms + part.offset_ms, moment.t1_ms + part.offset_ms
            language = _language_at(part.stream.segments, moment.t0_ms, moment.t1_ms)
            yield Moment(place, moment.type, t0_ms, t1_ms, words, language)


def _words_around(segments: Sequence[Segment], t0_ms: int, t1_ms: int) -> str:
    """The words within `_AROUND_MS` of a stretch, on the media clock."""
    return join_finals(
        (word.word, segment.language)
        for segment in segments
        for word in segment.words
        if word.start_ms <= t1_ms + _AROUND_MS and word.end_ms >= t0_ms - _AROUND_MS
    )


def _language_at(segments: Sequence[Segment], t0_ms: int, t1_ms: int) -> str:
    """The language of the first words within a stretch, or near it; empty if there are none."""
    near = (
        segment.language
        for segment in segments
        if segment.start_ms <= t1_ms + _AROUND_MS and segment.end_ms >= t0_ms - _AROUND_MS
    )
    return next(near, "")
