"""A constructed session for reports: an interview of two minutes in two streams, everything in it at known times.

`interviewer` has speech and delivery, `candidate` has a camera too and begins 1.5 s later. Every figure is made up
here, so a test knows what a report must say.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from gateway.analyses import StoredAnalysis
from gateway.protocol import messages as m
from gateway.transcript import Segment, StreamTranscript, Transcript, Word

STARTED_AT = 1_796_000_000.0
"""When the gateway began the first stream, UNIX seconds: 30 November 2026, 00:53 UTC."""

ORIGIN_MS = round(STARTED_AT * 1000) - 200
"""Time 0 of the first stream's media: it was recorded 0.2 s before it came."""

CANDIDATE_LATER_MS = 1_500
INTERRUPTED_MS = 54_200
"""When the interviewer begins a second question; the candidate speaks until 54 900 on the same clock."""

LATENCY = m.LatencyData(queue=0, decode=0, infer=0)
MOMENTS = (
    ("fastest", 16_000, 24_000, "we moved the whole thing to the new cluster in one weekend"),
    ("longest_pause", 41_000, 44_200, "and then … I would do it differently"),
    ("softest_ending", 58_000, 61_500, "the numbers were not that clear"),
    ("slowest", 77_000, 84_000, "what I learned is to ask first"),
    ("liveliest_pitch", 101_000, 106_000, "that was the best day of the year!"),
)
_SAID = "so we had a service that was slow and we looked at where the time went and it was the database of course"


def measured(value: float, confidence: float = 0.9) -> m.MeasureData:
    """A measure."""
    return m.MeasureData(value=value, confidence=confidence)


def said(segment_id: int, start_ms: int, words: Sequence[str], *, step_ms: int = 400, word_ms: int = 400) -> Segment:
    """A final whose words begin every `step_ms`, each of them sure to 0.9."""
    timed = tuple(
        Word(word, start_ms + step_ms * place, start_ms + step_ms * place + word_ms, 0.9)
        for place, word in enumerate(words)
    )
    return Segment(segment_id, " ".join(words), "en", 0.9, timed[0].start_ms, timed[-1].end_ms, timed)


def window(t0_ms: int, t1_ms: int, **values: Any) -> m.DeliveryWindowData:
    """A window of delivery; what is not named was not measured."""
    names = m.DeliveryWindowData.__struct_fields__
    counts = {"words": 0, "syllables": 0, "pauses": 0, "pauses_within_sentences": 0, "whole_session": False}
    return m.DeliveryWindowData(**{**dict.fromkeys(names), **counts, **values, "t0_ms": t0_ms, "t1_ms": t1_ms})


def sight(t0_ms: int, t1_ms: int, **values: Any) -> m.WindowData:
    """A window of vision; what is not named was not measured."""
    names = m.WindowData.__struct_fields__
    counts = {"frames": 150, "whole_session": False}
    return m.WindowData(**{**dict.fromkeys(names), **counts, **values, "t0_ms": t0_ms, "t1_ms": t1_ms})


def event(type_: str, t0_ms: int, t1_ms: int | None, confidence: float = 0.8) -> m.EventData:
    """An event."""
    return m.EventData(type=type_, t0_ms=t0_ms, t1_ms=t1_ms, confidence=confidence)


def stored(key: str, **values: Any) -> StoredAnalysis:
    """What the gateway keeps of an analysis of delivery."""
    defaults: dict[str, Any] = {
        "stream_id": "candidate",
        "service_type": "delivery",
        "schema_version": 1,
        "frame_seq": 0,
        "media_time_ms": 0,
        "captured_at": None,
        "latency_ms": LATENCY,
        "frame": None,
        "window": None,
        "events": [],
    }
    return StoredAnalysis(key, msgspec.json.encode(m.AnalysisData(**{**defaults, **values})))


def delivery(
    key: str,
    *,
    origin: int | None = None,
    part: m.DeliveryWindowData | None = None,
    summary: m.DeliverySummaryData | None = None,
    events: Iterable[m.EventData] = (),
    speech: Iterable[tuple[int, int]] | None = None,
    version: int = 1,
) -> StoredAnalysis:
    """A stored result of delivery."""
    stretches = UNSET if speech is None else [m.SpeechData(t0_ms=t0, t1_ms=t1) for t0, t1 in speech]
    data = m.DeliveryData(origin_unix_ms=origin, frame=None, window=part, summary=summary, speech=stretches)
    return stored(key, delivery=data, events=list(events), schema_version=version)


def whole(**values: Any) -> m.DeliveryWindowData:
    """The whole of a stream of two minutes with every measure but filled pauses; `values` takes the place of some."""
    known: dict[str, Any] = {
        "words": 214,
        "syllables": 301,
        "words_per_minute": measured(151.2, 0.93),
        "syllables_per_minute": measured(213.0, 0.88),
        "articulation_rate": measured(266.0, 0.88),
        "speech_ratio": measured(0.71, 0.95),
        "pauses": 31,
        "pauses_within_sentences": 19,
        "pause_median_ms": measured(480, 0.9),
        "pause_longest_ms": measured(3_200, 0.94),
        "longest_monologue_ms": measured(40_100, 0.9),
        "repeated_words": measured(3, 0.8),
        "restarts": measured(2, 0.7),
        "loudness_lufs": measured(-23.4, 0.92),
        "loudness_relative": measured(-0.6, 0.9),
        "trailing_off_ratio": measured(0.14, 0.75),
        "pitch_hz": measured(187.0, 0.9),
        "pitch_range_semitones": measured(9.4, 0.86),
        "pitch_spread_semitones": measured(2.7, 0.86),
        "pitch_spread_relative": measured(1.1, 0.8),
    }
    return window(0, 118_000, whole_session=True, **{**known, **values})


def summary(moments: Iterable[tuple[str, int, int, str]] = MOMENTS, **values: Any) -> m.DeliverySummaryData:
    """What comes at the end of a stream."""
    lengths = ((250, 500, 11, 6), (500, 1_000, 6, 4), (1_000, 2_000, 2, 1), (2_000, None, 0, 1))
    return m.DeliverySummaryData(
        whole=whole(**values),
        pace=[],
        pauses=[
            m.PauseBucketData(from_ms=low, to_ms=high, within_sentences=within, between_sentences=between)
            for low, high, within, between in lengths
        ],
        moments=[m.MomentData(type=type_, t0_ms=t0, t1_ms=t1, words=words) for type_, t0, t1, words in moments],
    )


def course(base: float, pitch: float) -> list[m.DeliveryWindowData]:
    """Eleven windows of ten seconds that rise and fall; the seventh holds no speech."""
    found = []
    for place in range(11):
        wave = math.sin(place * 1.1)
        silent = place == 6
        found.append(
            window(
                place * 10_000,
                place * 10_000 + 10_000,
                words=0 if silent else 24,
                words_per_minute=None if silent else measured(round(base + 22 * wave), 0.9),
                pitch_hz=None if silent else measured(round(pitch + 12 * wave), 0.88),
                loudness_lufs=None if silent else measured(round(-23 + 1.5 * wave, 1), 0.9),
                speech_ratio=measured(0 if silent else 0.7, 0.95),
            )
        )
    return found


def interview() -> tuple[Transcript, list[list[StoredAnalysis]]]:
    """The session and its analyses, one list for each stream."""
    asked = [said(1, 1_000, _SAID.split()[:12]), said(2, INTERRUPTED_MS, _SAID.split()[:9])]
    answered = [
        said(number, start, _SAID.split())
        for number, start in enumerate((6_500, 16_000, 26_000, 45_000, 64_000, 75_000, 86_000, 100_000), start=1)
    ]
    transcript = Transcript(
        "talk-7f3a",
        STARTED_AT,
        (
            StreamTranscript("interviewer", STARTED_AT, ended=True, segments=tuple(asked)),
            StreamTranscript("candidate", STARTED_AT + 2, ended=True, segments=tuple(answered)),
        ),
    )
    return transcript, [_interviewer(), _candidate()]


def earlier_interview() -> tuple[Transcript, list[list[StoredAnalysis]]]:
    """A session nine days before, in which the same candidate spoke alone."""
    began = STARTED_AT - 9 * 86_400
    origin = round(began * 1000)
    answered = said(1, 2_000, _SAID.split())
    transcript = Transcript(
        "talk-5c11", began, (StreamTranscript("candidate", began, ended=True, segments=(answered,)),)
    )
    values = {
        "words": 198,
        "words_per_minute": measured(142.0, 0.91),
        "pauses": 24,
        "pause_median_ms": measured(610, 0.9),
        "pitch_hz": measured(182.0, 0.9),
        "repeated_words": measured(5, 0.8),
    }
    end = summary([("fastest", 2_000, 8_000, "so we had a service")], **values)
    return transcript, [[delivery("delivery/summary", origin=origin, summary=end)]]


def _interviewer() -> list[StoredAnalysis]:
    windows = [
        delivery(f"delivery/window/{each.t0_ms}", origin=ORIGIN_MS, part=each)
        for each in course(168, 118)
        if each.t0_ms in (0, 50_000)
    ]
    over = event("talking_over", INTERRUPTED_MS, 54_900, 0.9)
    values = {
        "words": 21,
        "words_per_minute": measured(166, 0.9),
        "pitch_hz": measured(116, 0.9),
        "repeated_words": None,
    }
    end = summary([("fastest", 54_200, 57_800, "so we had a service")], **values)
    return [
        *windows,
        delivery(f"delivery/event/talking_over/{INTERRUPTED_MS}", origin=ORIGIN_MS, events=[over]),
        delivery("delivery/summary", origin=ORIGIN_MS, summary=end),
    ]


def _candidate() -> list[StoredAnalysis]:
    origin = ORIGIN_MS + CANDIDATE_LATER_MS
    events = [
        event("long_pause", 41_000, 44_200, 0.94),
        event("speaking_fast", 16_000, 24_000, 0.8),
        event("trailing_off", 58_000, 61_500, 0.7),
    ]
    seen = [
        event("looking_away", 32_000, 36_500, 0.7),
        event("smile", 101_000, 106_000, 0.85),
        event("nod", 63_000, 63_600, 0.8),
        event("face_lost", 111_000, None, 0.9),
    ]
    values = {
        "presence_ratio": measured(0.97, 0.95),
        "facing_camera_ratio": measured(0.82, 0.7),
        "smile_ratio": measured(0.11, 0.72),
        "nods": measured(4, 0.8),
    }
    return [
        *(delivery(f"delivery/window/{each.t0_ms}", origin=origin, part=each) for each in course(148, 187)),
        *(delivery(f"delivery/event/{each.type}/{each.t0_ms}", origin=origin, events=[each]) for each in events),
        *(stored(f"vision/event/{each.type}/{each.t0_ms}", service_type="vision", events=[each]) for each in seen),
        stored("vision/window/0", service_type="vision", window=sight(0, 10_000, presence_ratio=measured(1.0))),
        stored("vision/window/whole", service_type="vision", window=sight(0, 118_000, whole_session=True, **values)),
        delivery("delivery/summary", origin=origin, summary=summary()),
    ]
