"""The turns of two streams whose words have known times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.report.build import build
from gateway.report.document import Interruption, Measure, Overlap, Report, Response, Span, SpeakerTurns
from gateway.transcript import Segment, StreamTranscript, Transcript
from tests.fakes.interview import STARTED_AT, delivery, interview, said, window

ORIGIN_MS = round(STARTED_AT * 1000)
LATER_MS = 3_000
"""How much later the second stream began, so how far its media clock is behind."""


def conversation(anna: list[tuple[int, int]], ben: list[tuple[int, int]]) -> Report:
    """Two people who speak in these stretches, in ms on the common clock. Words last 200 ms, without gaps."""

    def finals(stretches: list[tuple[int, int]], later_ms: int) -> tuple[Segment, ...]:
        return tuple(
            said(number, t0 - later_ms, ["word"] * ((t1 - t0) // 200), step_ms=200, word_ms=200)
            for number, (t0, t1) in enumerate(stretches, start=1)
        )

    streams = (
        StreamTranscript("anna", STARTED_AT + 0.4, ended=True, segments=finals(anna, 0)),
        StreamTranscript("ben", STARTED_AT + 2.9, ended=True, segments=finals(ben, LATER_MS)),
    )
    origins = (ORIGIN_MS, ORIGIN_MS + LATER_MS)
    analyses = [[delivery("delivery/window/0", origin=origin, part=window(0, 10_000))] for origin in origins]
    return build(Transcript("s-2", STARTED_AT, streams), analyses)


TALK = conversation(anna=[(0, 6_000), (12_000, 15_000), (21_000, 24_000)], ben=[(6_800, 11_000), (14_200, 20_000)])


def test_shares_of_the_talk_are_as_constructed() -> None:
    anna, ben = TALK.speakers
    assert (anna.talk_ms, ben.talk_ms) == (
        Measure(12_000, "ms", pytest.approx(0.9)),
        Measure(10_000, "ms", pytest.approx(0.9)),
    )
    assert (anna.talk_ratio, ben.talk_ratio) == (
        Measure(pytest.approx(12 / 22), "ratio", pytest.approx(0.9)),
        Measure(pytest.approx(10 / 22), "ratio", pytest.approx(0.9)),
    )
    assert anna.speech == (Span(0, 6_000), Span(12_000, 15_000), Span(21_000, 24_000))
    assert ben.speech == (Span(6_800, 11_000), Span(14_200, 20_000))


def test_response_times_overlaps_and_interruptions_are_as_constructed() -> None:
    turns = TALK.turns
    assert turns is not None
    assert turns.responses == (Response(6_800, 1, 0, 800), Response(12_000, 0, 1, 1_000), Response(21_000, 0, 1, 1_000))
    assert turns.overlaps == (Overlap(14_200, 15_000, 0, 1),)
    assert turns.overlap_ms == Measure(800, "ms", pytest.approx(0.9))
    assert turns.interruptions == (Interruption(14_200, 1, 0, 800),)
    sure = pytest.approx(0.9)
    assert turns.speakers == (
        SpeakerTurns(0, Measure(2, "count", sure), Measure(1_000, "ms", sure), Measure(0, "count", sure)),
        SpeakerTurns(1, Measure(1, "count", sure), Measure(800, "ms", sure), Measure(1, "count", sure)),
    )


def test_edges_are_those_of_the_sound_where_it_was_measured() -> None:
    """Each word is 400 ms long; the sound of the first speaker goes on for 300 ms, the second one's begins earlier."""
    streams = (
        StreamTranscript("anna", STARTED_AT, ended=True, segments=(said(1, 1_000, ["so", "then"]),)),
        StreamTranscript("ben", STARTED_AT, ended=True, segments=(said(1, 2_000, ["no", "wait"]),)),
    )
    parts = [
        delivery("delivery/window/0", origin=ORIGIN_MS, part=window(0, 10_000), speech=speech, version=2)
        for speech in ([(950, 2_100), (5_000, 5_300)], [(1_700, 2_900)])
    ]
    report = build(Transcript("s-2", STARTED_AT, streams), [[part] for part in parts])
    assert [speaker.speech for speaker in report.speakers] == [(Span(950, 2_100),), (Span(1_700, 2_900),)]
    assert report.turns is not None
    assert report.turns.overlaps == (Overlap(1_700, 2_100, 0, 1),)


def test_somebody_who_never_answers_has_no_response_time() -> None:
    turns = build(*interview()).turns
    assert turns is not None
    interviewer, _ = turns.speakers
    assert (interviewer.responses.value, interviewer.response_ms, interviewer.interruptions.value) == (0, None, 1)


STRETCHES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), min_size=1, max_size=6)


@given(anna=STRETCHES, ben=STRETCHES)
def test_overlaps_are_exactly_the_time_in_which_both_have_words(
    anna: list[tuple[int, int]], ben: list[tuple[int, int]]
) -> None:
    """However people speak: shares add up, and the overlaps are what two clocks ticking every 200 ms would count."""
    spoken = [[(200 * at, 200 * (at + length)) for at, length in stretches] for stretches in (anna, ben)]
    report = conversation(*spoken)
    ticks = [{at for t0, t1 in stretches for at in range(t0, t1, 200)} for stretches in spoken]
    assert [speaker.talk_ms.value for speaker in report.speakers if speaker.talk_ms] == [200 * len(t) for t in ticks]
    assert sum(speaker.talk_ratio.value for speaker in report.speakers if speaker.talk_ratio) == pytest.approx(1)
    turns = report.turns
    assert turns is not None
    assert turns.overlap_ms.value == 200 * len(ticks[0] & ticks[1])
    assert all(response.latency_ms >= 0 for response in turns.responses)
    assert {(each.t0_ms, each.by) for each in turns.interruptions} <= {(o.t0_ms, o.second) for o in turns.overlaps}


def test_one_speaker_has_no_turns() -> None:
    assert conversation([(0, 2_000)], []).turns is None


def test_two_streams_of_one_name_are_two_speakers() -> None:
    streams = tuple(StreamTranscript("mic", STARTED_AT, ended=True, segments=(said(1, 0, ["hello"]),)) for _ in "ab")
    report = build(Transcript("s-3", STARTED_AT, streams), [])
    assert [speaker.stream for speaker in report.speakers] == [0, 1]
    assert report.turns is not None
    assert report.turns.overlaps == (Overlap(0, 400, 0, 1),)
