"""A session compared with an earlier one of the same people."""

from __future__ import annotations

import msgspec

from gateway.report.build import build
from gateway.report.document import Compared, Measure
from tests.fakes.interview import STARTED_AT, earlier_interview, interview

EARLIER = build(*earlier_interview())


def test_the_same_measures_stand_side_by_side() -> None:
    comparison = build(*interview(), earlier=EARLIER).comparison
    assert comparison is not None
    assert (comparison.session_id, comparison.origin_unix_ms) == ("talk-5c11", round((STARTED_AT - 9 * 86_400) * 1000))
    (candidate,) = comparison.speakers
    assert (candidate.stream, candidate.earlier_stream_id) == (1, "candidate")
    pace = Compared("words_per_minute", Measure(142.0, "words/min", 0.91), Measure(151.2, "words/min", 0.93))
    assert pace in candidate.measures


def test_what_neither_session_measured_is_left_out_and_what_one_did_is_not() -> None:
    transcript, (_, analyses) = earlier_interview()[0], interview()[1]
    now = build(transcript, [analyses])
    before = msgspec.structs.replace(
        EARLIER.speakers[0], measures={**EARLIER.speakers[0].measures, "pitch_hz": None, "filled_pauses": None}
    )
    comparison = build(transcript, [analyses], earlier=msgspec.structs.replace(EARLIER, speakers=(before,))).comparison
    assert comparison is not None
    found = {each.name: each for each in comparison.speakers[0].measures}
    assert "filled_pauses" not in found
    assert found["pitch_hz"] == Compared("pitch_hz", None, now.speakers[0].measures["pitch_hz"])


def test_a_share_of_the_talk_is_compared_only_between_conversations() -> None:
    alone = build(*interview(), earlier=EARLIER).comparison
    both = build(*interview(), earlier=build(*interview())).comparison
    assert alone is not None
    assert both is not None
    assert "talk_ratio" not in {each.name for each in alone.speakers[0].measures}
    assert "talk_ratio" in {each.name for each in both.speakers[0].measures}


def test_the_only_speakers_of_two_sessions_are_compared_whatever_their_streams_are_called() -> None:
    transcript, analyses = earlier_interview()
    renamed = tuple(msgspec.structs.replace(stream, stream_id="me") for stream in transcript.streams)
    now = build(msgspec.structs.replace(transcript, streams=renamed), analyses, earlier=EARLIER)
    assert now.comparison is not None
    assert [each.earlier_stream_id for each in now.comparison.speakers] == ["candidate"]


def test_people_are_never_compared_with_others() -> None:
    transcript, analyses = interview()
    names = {"interviewer": "chair", "candidate": "guest"}
    others = tuple(msgspec.structs.replace(each, stream_id=names[each.stream_id]) for each in transcript.streams)
    report = build(transcript, analyses, earlier=build(msgspec.structs.replace(transcript, streams=others), analyses))
    assert report.comparison is not None
    assert report.comparison.speakers == ()
