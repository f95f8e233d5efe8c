"""The report of a session: how each speaker spoke, the turns between them, and what a camera showed. Values only.

Every number is a `Measure`: its value, its unit and its confidence. None in its place means "not measured", never
zero. Times named `*_ms` are milliseconds on the report's clock, on which all streams of the session lie. `stream` is
the place of a stream in `Report.streams`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

REPORT_VERSION: Final = 1

Unit = Literal[
    "words/min", "syllables/min", "1/min", "ms", "Hz", "semitones", "LUFS", "LU", "ratio", "count", "degrees"
]
"""`ratio` is a fraction of 1. LUFS and LU are those of ITU-R BS.1770."""


class Measure(msgspec.Struct, frozen=True):
    """A measured value; `confidence` 0 to 1."""

    value: float
    unit: Unit
    confidence: float


Measures = dict[str, Measure | None]
"""Measures by the names of the protocol, such as `words_per_minute`. None: not measured."""


class ReportStream(msgspec.Struct, frozen=True):
    """A media stream. `offset_ms` is where its media clock begins on the report's clock.

    `clock`: "media" if that is known from the media themselves, "arrival" if from when the gateway began the stream.
    `complete`: its end is in the report.
    """

    stream_id: str
    services: tuple[str, ...]
    offset_ms: int
    duration_ms: int
    clock: Literal["media", "arrival"]
    complete: bool


class Span(msgspec.Struct, frozen=True):
    """A stretch of time."""

    t0_ms: int
    t1_ms: int


class Point(msgspec.Struct, frozen=True):
    """A window of about ten seconds, with the measures whose course is worth showing."""

    t0_ms: int
    t1_ms: int
    words_per_minute: Measure | None
    pitch_hz: Measure | None
    loudness_lufs: Measure | None
    speech_ratio: Measure | None


class PauseBucket(msgspec.Struct, frozen=True):
    """How many pauses are at least `from_ms` long and shorter than `to_ms`; None: any longer ones.

    The counts have the confidence of the measure `pauses`.
    """

    from_ms: int
    to_ms: int | None
    within_sentences: int
    between_sentences: int


class Speaker(msgspec.Struct, frozen=True):
    """How the speaker of one stream spoke.

    `talk_ms` is the time with words, `talk_ratio` its share of the talk of all speakers. `speech` are the stretches
    with words: their edges are those of the sound where it was measured, else those of the words. `pauses` is None if
    pauses were not counted. `whole`: `measures` are those of the whole stream; otherwise they are sums and means of the
    windows so far.
    """

    stream: int
    name: str
    talk_ms: Measure | None
    talk_ratio: Measure | None
    measures: Measures
    whole: bool
    course: tuple[Point, ...]
    pauses: tuple[PauseBucket, ...] | None
    speech: tuple[Span, ...]


class Face(msgspec.Struct, frozen=True):
    """What the camera of one stream showed. `whole` as in `Speaker`."""

    stream: int
    name: str
    measures: Measures
    whole: bool


class Event(msgspec.Struct, frozen=True):
    """Something that happened. `t1_ms` is None while it lasts."""

    stream: int
    service: str
    type: str
    t0_ms: int
    t1_ms: int | None
    confidence: float


class Moment(msgspec.Struct, frozen=True):
    """A stretch that is worth hearing again, with the words around it, in this language (BCP 47; empty: not known)."""

    stream: int
    type: str
    t0_ms: int
    t1_ms: int
    words: str
    language: str


class Overlap(msgspec.Struct, frozen=True):
    """Two speak at once; `first` began before `second`."""

    t0_ms: int
    t1_ms: int
    first: int
    second: int


class Interruption(msgspec.Struct, frozen=True):
    """`by` begins to speak while `of` speaks, and continues when `of` has stopped."""

    t0_ms: int
    by: int
    of: int
    overlap_ms: int


class Response(msgspec.Struct, frozen=True):
    """`of` begins to speak `latency_ms` after `after` has stopped."""

    t0_ms: int
    of: int
    after: int
    latency_ms: int


class SpeakerTurns(msgspec.Struct, frozen=True):
    """The turns of one speaker: how often, and how soon after the others.

    `interruptions`: how often this speaker began while another spoke, and went on. `response_ms`: the median latency.
    """

    stream: int
    responses: Measure
    response_ms: Measure | None
    interruptions: Measure


class Turns(msgspec.Struct, frozen=True):
    """Who spoke when, where at least two streams have words. `overlap_ms`: how long two spoke at once, in all."""

    overlap_ms: Measure
    speakers: tuple[SpeakerTurns, ...]
    overlaps: tuple[Overlap, ...]
    interruptions: tuple[Interruption, ...]
    responses: tuple[Response, ...]


class Compared(msgspec.Struct, frozen=True):
    """One measure in the earlier and in this session."""

    name: str
    earlier: Measure | None
    now: Measure | None


class ComparedSpeaker(msgspec.Struct, frozen=True):
    """The measures of one stream and those of the same speaker's stream in the earlier session."""

    stream: int
    earlier_stream_id: str
    measures: tuple[Compared, ...]


class Comparison(msgspec.Struct, frozen=True):
    """This session and an earlier one of the same people. Streams are matched by their ids; others are not compared.

    If each session has one speaker, these two are compared, whatever their streams are called.
    """

    session_id: str
    origin_unix_ms: int
    speakers: tuple[ComparedSpeaker, ...]


class Report(msgspec.Struct, frozen=True):
    """The report of a session. `origin_unix_ms` is time 0 of its clock, `created_at` UNIX seconds.

    `complete`: every stream has ended, and its end is in the report.
    """

    session_id: str
    created_at: float
    origin_unix_ms: int
    duration_ms: int
    complete: bool
    streams: tuple[ReportStream, ...]
    speakers: tuple[Speaker, ...]
    faces: tuple[Face, ...]
    events: tuple[Event, ...]
    moments: tuple[Moment, ...]
    turns: Turns | None
    comparison: Comparison | None
    version: int = REPORT_VERSION

    @property
    def is_of_one(self) -> bool:
        """Whether it is of one person at most, as far as the streams tell: then nobody needs to be named."""
        return len(self.speakers) <= 1 and len(self.faces) <= 1
