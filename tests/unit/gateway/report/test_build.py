"""The report's figures, from analyses that were made up."""

from __future__ import annotations

import msgspec
import pytest

from gateway.analyses import StoredAnalysis
from gateway.report.build import build
from gateway.report.collected import UnreadableAnalysisError
from gateway.report.document import Measure, PauseBucket, Report
from gateway.transcript import Segment, StreamTranscript, Transcript
from tests.fakes.interview import (
    CANDIDATE_LATER_MS,
    INTERRUPTED_MS,
    ORIGIN_MS,
    STARTED_AT,
    delivery,
    event,
    interview,
    measured,
    said,
    sight,
    stored,
    summary,
    window,
)

SPEECH_ONLY = ("stt",)


def one_stream(*analyses: StoredAnalysis, segments: tuple[Segment, ...] = (), ended: bool = True) -> Report:
    """The report of a session with one stream."""
    stream = StreamTranscript("anna", STARTED_AT, ended, segments)
    return build(Transcript("s-1", STARTED_AT, (stream,)), [analyses])


def test_every_measure_has_its_value_its_unit_and_its_confidence() -> None:
    _, candidate = build(*interview()).speakers
    assert candidate.measures == {
        "words": Measure(214, "count", pytest.approx(0.9)),
        "syllables": Measure(301, "count", pytest.approx(0.9)),
        "words_per_minute": Measure(151.2, "words/min", 0.93),
        "syllables_per_minute": Measure(213.0, "syllables/min", 0.88),
        "articulation_rate": Measure(266.0, "syllables/min", 0.88),
        "speech_ratio": Measure(0.71, "ratio", 0.95),
        "longest_monologue_ms": Measure(40_100, "ms", 0.9),
        "pauses": Measure(31, "count", pytest.approx(0.95)),
        "pauses_within_sentences": Measure(19, "count", pytest.approx(0.95)),
        "pause_median_ms": Measure(480, "ms", 0.9),
        "pause_longest_ms": Measure(3_200, "ms", 0.94),
        "repeated_words": Measure(3, "count", 0.8),
        "restarts": Measure(2, "count", 0.7),
        "filled_pauses": None,
        "loudness_lufs": Measure(-23.4, "LUFS", 0.92),
        "loudness_relative": Measure(-0.6, "LU", 0.9),
        "trailing_off_ratio": Measure(0.14, "ratio", 0.75),
        "pitch_hz": Measure(187.0, "Hz", 0.9),
        "pitch_range_semitones": Measure(9.4, "semitones", 0.86),
        "pitch_spread_semitones": Measure(2.7, "semitones", 0.86),
        "pitch_spread_relative": Measure(1.1, "ratio", 0.8),
    }
    assert candidate.whole
    assert candidate.pauses == (
        PauseBucket(250, 500, 11, 6),
        PauseBucket(500, 1_000, 6, 4),
        PauseBucket(1_000, 2_000, 2, 1),
        PauseBucket(2_000, None, 0, 1),
    )


def test_streams_lie_on_one_clock_by_when_their_media_began() -> None:
    report = build(*interview())
    assert report.origin_unix_ms == ORIGIN_MS
    assert [(stream.clock, stream.offset_ms) for stream in report.streams] == [
        ("media", 0),
        ("media", CANDIDATE_LATER_MS),
    ]
    assert report.duration_ms == 118_000 + CANDIDATE_LATER_MS
    assert report.speakers[1].course[0].t0_ms == CANDIDATE_LATER_MS


def test_without_the_origin_of_one_stream_all_lie_where_the_gateway_began_them() -> None:
    transcript, (_, candidate) = interview()
    report = build(transcript, [[], candidate])
    assert [(stream.clock, stream.offset_ms) for stream in report.streams] == [("arrival", 0), ("arrival", 2_000)]
    assert report.origin_unix_ms == round(STARTED_AT * 1000)


def test_a_stream_of_which_nothing_is_kept_moves_no_other() -> None:
    transcript, analyses = interview()
    empty = StreamTranscript("unused", STARTED_AT - 3_600, ended=True)
    report = build(msgspec.structs.replace(transcript, streams=(empty, *transcript.streams)), [[], *analyses])
    assert [stream.offset_ms for stream in report.streams] == [0, 0, CANDIDATE_LATER_MS]
    assert [speaker.name for speaker in report.speakers] == ["interviewer", "candidate"]


def test_a_camera_tells_when_its_pictures_were_taken() -> None:
    at = round(STARTED_AT * 1000) - 700
    nods = [
        stored("vision/event/nod/5", service_type="vision", captured_at=at + ms, media_time_ms=ms, events=[each])
        for ms, each in ((5_000, event("nod", 4_000, 4_600)), (9_000, event("nod", 8_000, 8_600)))
    ]
    report = one_stream(*nods)
    assert (report.origin_unix_ms, report.streams[0].clock) == (at, "media")


def test_events_of_all_services_share_one_timeline() -> None:
    found = [(each.t0_ms, each.t1_ms, each.type, each.service) for each in build(*interview()).events]
    assert found == [
        (17_500, 25_500, "speaking_fast", "delivery"),
        (33_500, 38_000, "looking_away", "vision"),
        (42_500, 45_700, "long_pause", "delivery"),
        (INTERRUPTED_MS, 54_900, "talking_over", "delivery"),
        (59_500, 63_000, "trailing_off", "delivery"),
        (64_500, 65_100, "nod", "vision"),
        (102_500, 107_500, "smile", "vision"),
        (112_500, None, "face_lost", "vision"),
    ]


def test_moments_keep_their_words_and_take_those_of_the_transcript_if_they_bring_none() -> None:
    segments = (said(1, 1_000, ["one", "two", "three"]), said(2, 20_000, ["far", "away"]))
    moments = [("fastest", 1_000, 2_000, ""), ("slowest", 20_000, 21_000, "as it came")]
    report = one_stream(delivery("delivery/summary", summary=summary(moments)), segments=segments)
    assert [(moment.type, moment.words, moment.language) for moment in report.moments] == [
        ("fastest", "one two three", "en"),
        ("slowest", "as it came", "en"),
    ]


def test_of_a_face_the_report_gives_what_was_measured() -> None:
    (face,) = build(*interview()).faces
    assert face.measures == {
        "presence_ratio": Measure(0.97, "ratio", 0.95),
        "facing_camera_ratio": Measure(0.82, "ratio", 0.7),
        "smile_ratio": Measure(0.11, "ratio", 0.72),
        "nods": Measure(4, "count", 0.8),
        "blinks_per_minute": None,
    }


def test_while_a_stream_lasts_figures_are_those_of_its_windows() -> None:
    windows = [
        window(
            0,
            10_000,
            words=20,
            syllables=30,
            pauses=2,
            words_per_minute=measured(120, 0.8),
            speech_ratio=measured(0.5, 0.9),
            pause_longest_ms=measured(900, 0.9),
            restarts=measured(1, 0.6),
            pause_median_ms=measured(500),
        ),
        window(
            10_000,
            40_000,
            words=60,
            syllables=90,
            pauses=5,
            words_per_minute=measured(160, 0.6),
            speech_ratio=measured(0.9, 0.7),
            pause_longest_ms=measured(700, 0.4),
            restarts=measured(2, 0.6),
            pause_median_ms=measured(300),
        ),
    ]
    results = [delivery(f"delivery/window/{each.t0_ms}", part=each) for each in windows]
    report = one_stream(*results, segments=(said(1, 0, ["so"]),), ended=False)
    (speaker,) = report.speakers
    assert (report.complete, speaker.whole) == (False, False)
    known = {name: value for name, value in speaker.measures.items() if value is not None}
    assert known == {
        "words": Measure(80, "count", 0.9),
        "syllables": Measure(120, "count", 0.9),
        "words_per_minute": Measure(pytest.approx(150), "words/min", pytest.approx(0.65)),
        "speech_ratio": Measure(pytest.approx(0.8), "ratio", pytest.approx(0.75)),
        "pauses": Measure(7, "count", pytest.approx(0.75)),
        "pauses_within_sentences": Measure(0, "count", pytest.approx(0.75)),
        "pause_longest_ms": Measure(900, "ms", 0.9),
        "restarts": Measure(3, "count", pytest.approx(0.6)),
    }


def test_a_face_of_a_stream_that_lasts_has_the_sums_and_means_of_its_windows() -> None:
    windows = [
        sight(0, 10_000, presence_ratio=measured(1.0), nods=measured(1)),
        sight(10_000, 20_000, presence_ratio=measured(0.5), nods=measured(2)),
    ]
    kept = [stored(f"vision/window/{each.t0_ms}", service_type="vision", window=each) for each in windows]
    (face,) = one_stream(*kept, ended=False).faces
    assert not face.whole
    assert face.measures["presence_ratio"] == Measure(0.75, "ratio", pytest.approx(0.9))
    assert face.measures["nods"] == Measure(3, "count", pytest.approx(0.9))
    assert face.measures["smile_ratio"] is None


def test_speech_without_delivery_gives_words_and_talk_and_nothing_else() -> None:
    report = one_stream(segments=(said(1, 1_000, ["one", "two", "three", "four"]),))
    (speaker,) = report.speakers
    assert speaker.talk_ms == Measure(1_600, "ms", pytest.approx(0.9))
    assert {name for name, value in speaker.measures.items() if value is not None} == {"words"}
    assert speaker.measures["words"] == Measure(4, "count", pytest.approx(0.9))
    assert (speaker.pauses, report.turns, report.streams[0].services) == (None, None, SPEECH_ONLY)


def test_delivery_without_words_gives_sound_and_no_zeros() -> None:
    alone = window(0, 10_000, speech_ratio=measured(0.6), pauses=3, pitch_hz=measured(120))
    (speaker,) = one_stream(delivery("delivery/window/0", part=alone)).speakers
    assert speaker.talk_ms is None
    assert speaker.measures["words"] is None
    assert speaker.measures["pauses_within_sentences"] is None
    assert speaker.measures["pauses"] == Measure(3, "count", pytest.approx(0.9))


def test_counts_that_nothing_was_counted_in_are_not_measured() -> None:
    nothing = window(0, 10_000)
    (speaker,) = one_stream(delivery("delivery/window/0", part=nothing)).speakers
    assert set(speaker.measures.values()) == {None}


def test_pauses_that_nobody_asked_for_are_not_measured() -> None:
    """The protocol's count is 0 then, too."""
    pitch = window(0, 10_000, words=20, speech_ratio=measured(0.6), pitch_hz=measured(120))
    segments = (said(1, 0, ["so"]),)
    (speaker,) = one_stream(delivery("delivery/window/0", part=pitch), segments=segments).speakers
    assert (speaker.measures["pauses"], speaker.measures["pauses_within_sentences"]) == (None, None)
    none = msgspec.structs.replace(pitch, longest_monologue_ms=measured(9_000))
    (speaker,) = one_stream(delivery("delivery/window/0", part=none), segments=segments).speakers
    assert speaker.measures["pauses"] == Measure(0, "count", pytest.approx(0.9))


def test_from_version_2_on_a_count_of_zero_was_counted() -> None:
    silent = window(0, 10_000, words=0, syllables=0, speech_ratio=measured(0.0), pauses=0, pauses_within_sentences=0)
    segments = (said(1, 0, ["so"]),)
    (speaker,) = one_stream(delivery("delivery/window/0", part=silent, version=2), segments=segments).speakers
    assert speaker.measures["pauses"] == Measure(0, "count", pytest.approx(0.9))
    unasked = msgspec.structs.replace(silent, pauses=None, pauses_within_sentences=None, syllables=None)
    (speaker,) = one_stream(delivery("delivery/window/0", part=unasked, version=2), segments=segments).speakers
    assert [speaker.measures[name] for name in ("pauses", "pauses_within_sentences", "syllables")] == [None] * 3


def test_one_window_without_a_rule_for_syllables_leaves_their_sum_unknown() -> None:
    known = window(0, 10_000, words=20, syllables=30)
    windows = (known, window(10_000, 20_000, words=20, syllables=None))
    results = [delivery(f"delivery/window/{each.t0_ms}", part=each, version=2) for each in windows]
    (speaker,) = one_stream(*results, segments=(said(1, 0, ["so"]),), ended=False).speakers
    assert speaker.measures["words"] == Measure(40, "count", 0.9)
    assert speaker.measures["syllables"] is None


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_stored_twice_counts_once_in_either_order(turned: bool) -> None:
    """As it is after the key of encryption has changed."""
    twice = [
        delivery("delivery/window/0", part=window(0, 10_000, words=20)),
        delivery("delivery/event/monotone/5000", events=[event("monotone", 5_000, None)]),
        delivery("delivery/event/monotone/5000", events=[event("monotone", 5_000, 9_000)]),
        delivery("delivery/window/0", part=window(0, 10_000, words=20)),
    ]
    report = one_stream(*(reversed(twice) if turned else twice), segments=(said(1, 0, ["so"]),), ended=False)
    assert [each.t1_ms for each in report.events] == [9_000]
    assert report.speakers[0].measures["words"] == Measure(20, "count", pytest.approx(0.9))
    assert len(report.speakers[0].course) == 1


def test_a_session_without_anything_has_an_empty_report() -> None:
    report = build(Transcript("s-1", STARTED_AT), [])
    assert (report.duration_ms, report.streams, report.speakers, report.turns) == (0, (), (), None)
    assert report.origin_unix_ms == round(STARTED_AT * 1000)


def test_a_report_is_json_and_comes_back_from_it() -> None:
    report = build(*interview())
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_what_cannot_be_read_is_named_by_its_key_alone() -> None:
    with pytest.raises(UnreadableAnalysisError) as raised:
        one_stream(StoredAnalysis("delivery/window/0", b'{"words": "secret"}'))
    assert str(raised.value) == "the analysis delivery/window/0 cannot be read"
