"""Guards, alignment, captions, ledger, pace, options and the resume state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from talkup.v1 import transcript_pb2

from workers.engine import EngineError
from workers.stt import events, state
from workers.stt.captions import Captions
from workers.stt.confidence import place_words
from workers.stt.hypothesis import is_unusable
from workers.stt.ledger import ChunkLedger
from workers.stt.options import stream_options, wants_word_times
from workers.stt.pace import Pace
from workers.stt.state import RecognizerState, ResumeState, Totals
from workers.stt.tuning import Tuning, samples
from workers.stt.words import TokenGroup, Word


@pytest.mark.parametrize(
    ("text", "tokens", "seconds", "score", "no_speech", "unusable"),
    [
        ("It was a plain sentence about nothing much at all.", 12, 4.0, -0.3, 0.1, False),
        ("thank you " * 20, 40, 10.0, -0.3, 0.1, True),
        ("yes yes", 30, 1.0, -0.3, 0.1, True),
        ("you", 1, 1.0, -1.2, 0.7, True),
        ("you", 1, 1.0, -0.9, 0.9, False),
    ],
)
def test_guard(text: str, tokens: int, seconds: float, score: float, no_speech: float, unusable: bool) -> None:
    assert is_unusable(text, tokens, seconds, score, no_speech) is unusable


def test_words_get_their_tokens_times_and_least_probability() -> None:
    groups = [TokenGroup(" Hel lo,", (1, 2, 3)), TokenGroup(" you", (4,))]
    path = [(0, 10), (0, 11), (1, 12), (2, 20), (3, 25), (3, 26), (4, 40)]
    first, second = place_words(groups, [" Hel", "lo", ",", " you"], path, [0.9, 0.5, 0.1, 0.8])
    assert (first.start, first.end, first.probability) == (10 * 320, 25 * 320, 0.5)
    assert (second.start, second.end, second.probability) == (25 * 320, 40 * 320, 0.8)


def test_a_short_alignment_still_places_every_word() -> None:
    groups = [TokenGroup(" a", (1,)), TokenGroup(" b", (2,))]
    words = place_words(groups, [" a", " b"], [(0, 5)], [0.9])
    assert [(word.start, word.end) for word in words] == [(1600, 1600), (1600, 1600)]
    assert place_words(groups, [" a", " b"], [], [])[1].end == 0


def interim(text: str) -> events.Interim:
    words = tuple(Word(" " + part) for part in text.split())
    return events.Interim(words, 0, 16_000, -0.1, "en")


def final(text: str) -> events.Final:
    words = tuple(Word(" " + part, 16 * i, 16 * i + 16, 0.5) for i, part in enumerate(text.split()))
    return events.Final(words, "en")


def test_segment_ids_and_revisions_rise() -> None:
    captions = Captions(word_timestamps=True)
    messages = [captions.interim(interim("a")), captions.interim(interim("a b"))]
    assert captions.interim(interim("a b")) is None
    messages += [captions.final(final("a b")), captions.interim(interim("c")), captions.interim(interim(""))]
    numbers = [(m.segment_id, m.revision, m.is_final, m.text) for m in messages if m is not None]
    assert numbers == [
        (1, 1, False, "a"),
        (1, 2, False, "a b"),
        (1, 3, True, "a b"),
        (2, 1, False, "c"),
        (2, 2, False, ""),
    ]


def test_a_final_tells_its_words() -> None:
    message = Captions(word_timestamps=True).final(final("a b"))
    assert [(w.text, w.start_ms, w.end_ms, w.confidence) for w in message.words] == [("a", 0, 1, 0.5), ("b", 1, 2, 0.5)]
    assert (message.stable_chars, message.confidence, message.language) == (3, 0.5, "en")
    assert not Captions(word_timestamps=False).final(final("a b")).words


def test_a_later_attempt_counts_revisions_from_higher_up() -> None:
    message = Captions(word_timestamps=True, segment_id=4, attempt=2).interim(interim("a"))
    assert message is not None
    assert (message.segment_id, message.revision) == (4, 65_537)


@pytest.mark.parametrize("attempt", [32_769, 100_000, 4_294_900_000])
def test_attempts_of_other_gateways_leave_room_for_revisions(attempt: int) -> None:
    captions = Captions(word_timestamps=True, attempt=attempt)
    first, second = captions.interim(interim("a")), captions.interim(interim("a b"))
    assert first is not None
    assert second is not None
    assert 65_536 < first.revision < second.revision
    assert captions.final(final("a b")).revision > second.revision


def test_a_chunk_is_covered_when_its_successors_samples_are() -> None:
    ledger = ChunkLedger()
    for sequence in range(4):
        ledger.add(sequence, 10, 0, 100 * (sequence + 1))
    assert ledger.covered(199, 0) is None
    assert ledger.covered(200, 0) == 0
    assert ledger.covered(350, 2) == 1
    assert ledger.forget_before(2) == Totals(chunks=2, size=20)
    assert ledger.covered(100, 0) == 1, "never falls"
    ledger.close()
    assert ledger.covered(400, 2) == 3
    assert ledger.totals == Totals(chunks=4, size=40)


def test_chunks_that_gave_no_samples_yet_are_not_covered() -> None:
    """Their bytes are the beginning of a page that ends in a later chunk."""
    ledger = ChunkLedger()
    for sequence, end in enumerate((100, 200, 200, 200, 300, 400)):
        ledger.add(sequence, 10, 0, end)
    assert ledger.covered(200, 0) == 0
    assert ledger.covered(299, 0) == 0
    assert ledger.covered(300, 0) == 3
    assert ledger.covered(400, 0) == 4
    ledger.close()
    assert ledger.covered(400, 0) == 5


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 2)), min_size=1, max_size=30), st.data())
def test_coverage_and_totals_never_pass_the_chunks(parts: list[tuple[int, int]], data: st.DataObject) -> None:
    ledger = ChunkLedger()
    end = committed = replay = 0
    for sequence, (length, missing) in enumerate(parts):
        end += length
        ledger.add(sequence, 1, missing, end)
        committed = data.draw(st.integers(committed, end))
        replay = data.draw(st.integers(replay, sequence + 1))
        covered = ledger.covered(committed, replay)
        assert covered is None or covered <= sequence
        assert replay <= (-1 if covered is None else covered) + 1
        assert ledger.forget_before(replay).chunks == replay


def test_a_fast_file_is_never_overdue() -> None:
    pace = Pace(Tuning())
    dues = [pace.due(samples(1.5 * step), 100.0) for step in range(1, 5)]
    assert dues == [100.0, 101.5, 103.0, 104.5]
    pace.done(dues[-1], 101.0)
    assert pace.effort(backlog=samples(8), roomy=True).step == 1.5


def test_a_late_stream_does_less() -> None:
    pace = Pace(Tuning())
    assert pace.effort(backlog=0, roomy=True).extra_interims
    assert not pace.effort(backlog=0, roomy=False).extra_interims
    assert not pace.effort(backlog=samples(1), roomy=True).extra_interims
    pace.done(pace.due(samples(1.5), 10.0), 11.0)
    late = pace.effort(backlog=0, roomy=True)
    assert (late.step, late.beam, late.extra_interims) == (pytest.approx(2.5), 5, False)
    pace.done(10.0, 20.0)
    very_late = pace.effort(backlog=0, roomy=True)
    assert (very_late.step, very_late.beam) == (6.0, 1)


def test_the_step_is_as_long_as_may_be_before_the_beam_shrinks() -> None:
    pace = Pace(Tuning())
    efforts = []
    for tenths in range(60):
        pace.done(0.0, tenths / 10)
        efforts.append(pace.effort(backlog=0, roomy=True))
    assert efforts[0].step == Tuning().step
    assert {effort.step for effort in efforts if effort.beam == 1} == {Tuning().overrun_step}
    assert [effort.step for effort in efforts] == sorted(effort.step for effort in efforts)
    first_stretched = next(late for late, effort in enumerate(efforts) if effort.step >= Tuning().stretched_step)
    assert first_stretched <= 15, "the whole stretch before a final may be two seconds late"


def live(pace: Pace) -> Pace:
    """The pace of a stream whose audio comes as it is spoken, after its first step."""
    pace.begin(0, 10.0)
    pace.done(pace.due(samples(1.5), 11.5), 11.6)
    return pace


def test_steps_grow_with_the_load_before_anything_is_late() -> None:
    pace = live(Pace(Tuning()))
    efforts = [pace.effort(backlog=0, roomy=False, load=load / 20) for load in range(21)]
    assert {effort.step for effort in efforts[:15]} == {Tuning().step}
    assert [effort.step for effort in efforts] == sorted(effort.step for effort in efforts)
    assert (efforts[19].step, efforts[19].strain) == (pytest.approx(Tuning().stretched_step), pytest.approx(1.0))
    assert (efforts[20].step, efforts[20].strain) == (Tuning().overrun_step, 1.0), "none of the threads' time is left"
    assert {effort.beam for effort in efforts} == {Tuning().beam}


def test_steps_that_may_not_grow_are_as_long_in_every_case() -> None:
    pace = live(Pace(Tuning(stretched_step=1.5)))
    assert pace.effort(backlog=0, roomy=False, load=1.0).step == 1.5
    pace.done(10.0, 20.0)
    assert pace.effort(backlog=0, roomy=False).step == 1.5


def test_the_load_does_not_change_the_steps_of_audio_that_comes_faster_than_it_is_spoken() -> None:
    pace = Pace(Tuning())
    for tenths in range(15):
        pace.begin(samples(tenths / 10), 10.0)
    assert pace.effort(backlog=samples(1.5), roomy=False, load=1.0).step == Tuning().step, "the first one"
    pace.done(pace.due(samples(1.5), 10.1), 10.3)
    assert pace.effort(backlog=samples(8), roomy=False, load=1.0).step == Tuning().step


def test_a_late_stream_makes_no_step_before_its_end() -> None:
    pace = live(Pace(Tuning()))
    effort = pace.effort(backlog=0, roomy=False)
    assert pace.hurried(effort, until_close=samples(1), withdrawn=False) == effort, "it is on time"
    assert pace.hurried(effort, until_close=samples(1), withdrawn=True).step > Tuning().stretched_step
    pace.done(13.0, 13.5)
    assert pace.hurried(effort, until_close=samples(1), withdrawn=False).step > Tuning().stretched_step
    assert pace.hurried(effort, until_close=samples(10), withdrawn=False) == effort, "the end is far away"
    assert pace.hurried(effort, until_close=None, withdrawn=False) == effort


def test_a_file_sent_at_once_is_not_late_while_its_first_step_is_made() -> None:
    pace = Pace(Tuning())
    pace.begin(0, 10.0)
    pace.begin(samples(0.5), 10.1)
    pace.done(pace.due(samples(1.5), 10.2), 11.4)
    assert pace.lag == pytest.approx(-0.1)
    assert pace.effort(backlog=0, roomy=True).step == Tuning().step


def test_a_resumed_stream_catches_up_faster() -> None:
    pace = Pace(Tuning(), resumed=True)
    assert [pace.due(samples(4 * step), 100.0) for step in range(3)] == [100.0, 101.0, 102.0]
    assert pace.due(samples(12), 103.5) == 103.5
    assert pace.due(samples(16), 103.5) == 107.5


LANGUAGES = ("en", "fr", "no")


def options_of(**fields: object) -> object:
    return stream_options(transcript_pb2.SpeechOptions(**fields), LANGUAGES, lambda text: tuple(map(ord, text)))


@pytest.mark.parametrize(
    ("tag", "language"), [("", None), ("auto", None), ("fr-FR", "fr"), ("FR", "fr"), ("nb_NO", "no"), ("en-US", "en")]
)
def test_language_tags(tag: str, language: str | None) -> None:
    assert options_of(language=tag).language == language
    only = stream_options(transcript_pb2.SpeechOptions(language="auto"), ("en",), lambda _: ())
    assert only.language == "en"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"language": "xx"}, "speech.language"),
        ({"endpointing_ms": 99}, "speech.endpointing_ms"),
        ({"endpointing_ms": 10_001}, "speech.endpointing_ms"),
        ({"hotwords": ["x"] * 101}, "speech.hotwords"),
        ({"hotwords": ["x" * 2001]}, "speech.hotwords"),
        ({"initial_prompt": "x" * 2001}, "speech.initial_prompt"),
    ],
)
def test_options_out_of_range_are_named(fields: dict[str, object], field: str) -> None:
    with pytest.raises(EngineError) as caught:
        options_of(**fields)
    assert caught.value.field == field


def test_the_error_for_the_name_of_a_language_says_what_to_send() -> None:
    with pytest.raises(EngineError, match="name it by its code, such as en"):
        options_of(language="English")


def test_options_reach_the_recogniser() -> None:
    options = options_of(hotwords=["Ada", " ", "Bob "], interim_results=False, endpointing_ms=500)
    assert options.hotwords == tuple(map(ord, "Ada, Bob"))
    assert (options.interims, options.endpointing) == (False, 8000)
    assert wants_word_times(transcript_pb2.SpeechOptions())
    assert not wants_word_times(transcript_pb2.SpeechOptions(word_timestamps=False))


def test_the_resume_state_goes_round() -> None:
    recognizer = RecognizerState(frame=9, replay_from=100, committed=[(" a", 1, 2, 0.5)], track=b"\x01")
    saved = ResumeState(
        version=state.VERSION, recognizer=recognizer, segment_id=3, totals=Totals(chunks=2), audio_from=90, decoder=b"d"
    )
    assert state.unpack(state.pack(saved)) == saved


@given(st.binary(max_size=64))
def test_foreign_bytes_are_no_resume_state(data: bytes) -> None:
    with pytest.raises(ValueError, match="resume state"):
        state.unpack(data)
