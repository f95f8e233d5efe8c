"""The analyser on made-up sound and words: exact numbers, events with their edges, and a state that stays small."""

from __future__ import annotations

import itertools
import random

import msgspec
import numpy as np
import pytest

from tests.unit.workers.delivery.blocks import (
    ALL,
    BLOCK_MS,
    Messages,
    block,
    copied,
    evenly,
    events_of,
    frames_of,
    messages_of,
    silence,
    speech,
    windows_of,
)
from workers.delivery.acoustics import HOPS
from workers.delivery.analyzer import DeliveryAnalyzer
from workers.delivery.pace import EDGE_MS
from workers.delivery.state import DeliveryState
from workers.delivery.windows import Wanted
from workers.delivery.words import SpokenWord

SENTENCE = "seven people were walking to a better garden today."  # 9 words, 15 syllables


def in_order(messages: Messages) -> None:
    assert [message.frame_seq for message in messages] == list(range(len(messages)))
    times = [message.media_time_ms for message in messages]
    assert times == sorted(times)


def test_each_second_has_a_frame_and_each_ten_a_window() -> None:
    messages = messages_of(itertools.chain(speech(15_000), silence(6_300)))
    in_order(messages)
    assert [(frame.t0_ms, frame.t1_ms) for frame in frames_of(messages)] == [
        (1000 * second, 1000 * (second + 1)) for second in range(21)
    ]
    assert [(window.t0_ms, window.t1_ms) for window in windows_of(messages)] == [(0, 10_000), (10_000, 20_000)]
    assert messages[-1].delivery.summary.whole.t1_ms == 21_300
    assert messages[-1].delivery.summary.whole.whole_session


def test_an_empty_stream_has_a_summary_without_a_measure() -> None:
    (message,) = messages_of([])
    whole = message.delivery.summary.whole
    assert (whole.words, whole.pauses) == (0, 0)
    assert not [field.name for field, _ in whole.ListFields() if field.message_type is not None]


def test_pace_of_a_window_and_of_the_whole_stream() -> None:
    words = evenly(SENTENCE, 0, 5_000) + evenly(SENTENCE, 5_000, 10_000) + evenly(SENTENCE, 12_000, 17_000)
    heard = itertools.chain(speech(10_000), silence(2_000), speech(5_000), silence(3_000))
    messages = messages_of(heard, words)
    first, second = windows_of(messages)
    assert (first.words, first.syllables, second.words) == (18, 30, 9)
    span = words[17].end_ms
    assert first.words_per_minute.value == pytest.approx(18 * 60_000 / span)
    assert first.words_per_minute.confidence == pytest.approx(1 - 2 * EDGE_MS / span)
    assert first.articulation_rate.value == pytest.approx(30 * 60_000 / span)
    whole = messages[-1].delivery.summary.whole
    span = words[-1].end_ms
    assert (whole.words, whole.syllables) == (27, 45)
    assert whole.words_per_minute.value == pytest.approx(27 * 60_000 / span)
    assert whole.articulation_rate.value == pytest.approx(45 * 60_000 / (span - 2_000), rel=0.01)
    points = messages[-1].delivery.summary.pace
    assert [point.media_time_ms for point in points] == [5_000, 15_000]
    assert points[0].words_per_minute == pytest.approx(first.words_per_minute.value)


def test_a_pause_within_a_sentence_and_one_between_two() -> None:
    words = evenly("we were", 0, 1_000) + evenly("there.", 1_600, 2_400) + evenly("Then we left.", 3_600, 5_000)
    heard = itertools.chain(speech(1_000), silence(600), speech(800), silence(1_200), speech(1_400), silence(5_200))
    (window,) = windows_of(messages_of(heard, words))
    assert (window.pauses, window.pauses_within_sentences) == (2, 1)
    assert window.pause_median_ms.value == pytest.approx(900, abs=40)
    assert window.pause_longest_ms.value == pytest.approx(1_200, abs=40)
    summary = messages_of(itertools.chain(speech(1_000), silence(600), speech(800)), words[:3])[-1].delivery.summary
    assert [(bucket.within_sentences, bucket.between_sentences) for bucket in summary.pauses] == [
        (0, 0),
        (1, 0),
        (0, 0),
        (0, 0),
    ]


def test_a_long_pause_begins_while_it_lasts_and_ends_when_it_is_over() -> None:
    messages = messages_of(itertools.chain(speech(3_000), silence(3_500), speech(2_000)))
    (begun, none), (again, ended) = events_of(messages, "long_pause")
    assert (begun, none) == (pytest.approx(3_000, abs=40), None)
    assert (again, ended) == (begun, pytest.approx(6_500, abs=40))
    announced = next(message.media_time_ms for message in messages if message.events)
    assert announced == 6_000  # the first second at whose end it has lasted for two
    assert frames_of(messages)[4].pause_ms == pytest.approx(2_000, abs=40)


def test_ten_seconds_of_silence_end_the_turn_and_are_no_pause() -> None:
    messages = messages_of(itertools.chain(speech(3_000), silence(14_000), speech(3_000)), evenly("one two", 0, 3_000))
    (begun, _), (_, ended) = events_of(messages, "long_pause")
    assert ended == begun + 10_000
    whole = messages[-1].delivery.summary.whole
    assert whole.pauses == 0
    assert whole.longest_monologue_ms.value == pytest.approx(3_000, abs=40)
    assert [frame.pause_ms for frame in frames_of(messages)[14:17]] == [0, 0, 0]


def test_a_stream_that_ends_in_a_long_pause_ends_it() -> None:
    messages = messages_of(itertools.chain(speech(3_000), silence(3_500)))
    assert events_of(messages, "long_pause")[-1][1] == 6_500


def test_loudness_of_speech_alone_and_against_the_first_minute() -> None:
    heard = itertools.chain(*[(*speech(1_000, 1e-2), *silence(500))] * 40, speech(20_000, 1e-3))
    messages = messages_of(heard)
    windows = windows_of(messages)
    assert windows[0].loudness_lufs.value == pytest.approx(-20.69, abs=0.2)
    assert not windows[0].HasField("loudness_relative")
    assert messages[-1].delivery.summary.whole.loudness_lufs.value == pytest.approx(-22.24, abs=0.2)
    late = messages_of(itertools.chain(speech(60_000, 1e-2), speech(10_000, 1e-3)))
    assert windows_of(late)[-1].loudness_relative.value == pytest.approx(-10, abs=0.1)


def test_a_voice_that_hardly_moves_after_a_lively_minute_is_monotone_until_it_moves_again() -> None:
    heard = itertools.chain(speech(60_000, swing=5), speech(70_000, swing=0.5), speech(60_000, swing=5))
    edges = events_of(messages_of(heard), "monotone")
    assert [end is None for _, end in edges] == [True, False]
    begun = edges[0][0]
    assert edges[1][0] == begun
    assert 60_000 <= begun <= 80_000
    assert 130_000 <= edges[1][1] <= 140_000


def test_a_voice_that_never_moved_is_not_monotone_against_itself() -> None:
    assert not events_of(messages_of(speech(180_000, swing=1.4)), "monotone")


def test_speaking_fast_needs_the_bound_and_the_speakers_own_first_minute() -> None:
    slow = [word for second in range(0, 70_000, 5_000) for word in evenly(SENTENCE, second, second + 5_000)]
    fast = [word for begin in range(70_000, 90_000, 2_000) for word in evenly(SENTENCE, begin, begin + 2_000)]
    after = [word for begin in range(90_000, 120_000, 5_000) for word in evenly(SENTENCE, begin, begin + 5_000)]
    messages = messages_of(speech(120_000), slow + fast + after)
    (begun, _), (same, ended) = events_of(messages, "speaking_fast")
    assert same == begun
    assert 60_000 <= begun <= 80_000 < ended <= 100_000
    assert not events_of(messages, "speaking_slowly")
    always = [word for begin in range(0, 120_000, 2_000) for word in evenly(SENTENCE, begin, begin + 2_000)]
    assert not events_of(messages_of(speech(120_000), always), "speaking_fast")
    types = [moment.type for moment in messages[-1].delivery.summary.moments]
    assert {"fastest", "slowest"} <= set(types)


def test_a_sentence_that_trails_off_is_an_event_and_counts() -> None:
    heard = itertools.chain(speech(4_000, 1e-2), speech(2_000, 3e-4), silence(4_000))
    messages = messages_of(heard, evenly(SENTENCE, 0, 6_000, share=1.0))
    assert events_of(messages, "trailing_off") == [(4_000, 6_000)]
    (window,) = windows_of(messages)
    assert window.trailing_off_ratio.value == 1
    (moment,) = (each for each in messages[-1].delivery.summary.moments if each.type == "softest_ending")
    assert (moment.t0_ms, moment.t1_ms, moment.words) == (4_000, 6_000, "better garden today.")


def test_repeats_are_counted_where_their_sentence_ends() -> None:
    words = evenly("I want I want to go to the the garden.", 0, 5_000)
    (window,) = windows_of(messages_of(itertools.chain(speech(5_000), silence(6_000)), words))
    assert (window.repeated_words.value, window.restarts.value) == (1, 1)


def test_the_longest_pause_comes_with_the_words_around_it() -> None:
    words = evenly("a b c d e f", 0, 3_000) + evenly("g h i j k l", 4_500, 8_000)
    heard = itertools.chain(speech(3_000), silence(1_500), speech(3_500), silence(2_500))
    moments = messages_of(heard, words)[-1].delivery.summary.moments
    (pause,) = (each for each in moments if each.type == "longest_pause")
    assert pause.words == "b c d e f g h i j k"


def test_only_the_signals_wanted_are_measured() -> None:
    heard = list(itertools.chain(speech(4_000), silence(3_000), speech(5_000)))
    messages = messages_of(heard, evenly(SENTENCE, 0, 4_000), Wanted(frozenset({"pace"})))
    (window,) = windows_of(messages)
    measured = {field.name for field, _ in window.ListFields() if field.message_type is not None}
    assert measured == {"speech_ratio", "words_per_minute", "syllables_per_minute", "articulation_rate"}
    assert not any(message.events for message in messages)
    assert {moment.type for moment in messages[-1].delivery.summary.moments} <= {"fastest", "slowest"}


def test_without_words_only_the_sound_is_measured() -> None:
    (window,) = windows_of(
        messages_of(
            itertools.chain(speech(5_000), silence(600), speech(5_400)), wanted=Wanted(ALL.signals, words=False)
        )
    )
    for name in ("words_per_minute", "articulation_rate", "repeated_words", "restarts", "trailing_off_ratio"):
        assert not window.HasField(name)
    for name in ("speech_ratio", "loudness_lufs", "pitch_hz", "pause_median_ms"):
        assert window.HasField(name)


def test_counts_that_nobody_asked_for_are_absent() -> None:
    words = evenly(SENTENCE, 0, 9_000)
    pitch = Wanted(frozenset({"pitch"}))
    messages = messages_of(speech(10_200), words, wanted=pitch)
    (window,) = windows_of(messages)
    assert (window.words, window.HasField("pauses"), window.HasField("pauses_within_sentences")) == (9, False, False)
    assert not any(frame.HasField("pause_ms") for frame in frames_of(messages))
    (window,) = windows_of(messages_of(speech(10_200), wanted=Wanted(ALL.signals, words=False)))
    names = ("words", "syllables", "pauses", "pauses_within_sentences")
    assert [window.HasField(name) for name in names] == [False, False, True, False]


def test_each_stretch_of_speech_is_given_once_and_none_begins_before_what_was_settled() -> None:
    """With the frames, and the last one with the summary. Its level is smoothed: it reaches 20 ms farther."""
    blocks = itertools.chain(speech(1_500), silence(600), speech(2_500), silence(2_000), speech(700))
    messages = messages_of(blocks)
    given, settled = [], 0
    for message in messages:
        speeches = message.delivery.speech
        assert message.delivery.HasField("speech") != message.delivery.HasField("window")
        assert all(each.t0_ms >= settled for each in speeches.stretches)
        assert speeches.settled_ms >= settled
        settled = speeches.settled_ms
        given.append([(each.t0_ms, each.t1_ms) for each in speeches.stretches])
    assert given == [[], [(0, 1_520)], [], [], [(2_080, 4_620)], [], [], [(6_580, 7_300)]]


def test_words_whose_times_do_not_follow_the_text_stay_in_its_order_and_are_none_twice() -> None:
    """An aligner may put a word before the one it follows; the later one waits for it."""
    words = evenly(SENTENCE, 0, 9_000)
    moved = [*words]
    moved[4] = SpokenWord(words[4].text, 6_100, 6_500)  # behind the sixth, in another second
    messages = messages_of(speech(10_200), moved)
    (window,) = windows_of(messages)
    assert (window.words, window.syllables) == (9, 15)
    assert messages[-1].delivery.summary.whole.words == 9
    analyzer = DeliveryAnalyzer(ALL)
    analyzer.say([SpokenWord("a", 1_500, 1_600), SpokenWord("b", 900, 1_000)], "en")
    for each in speech(1_100):
        list(analyzer.hear(each))
    assert [word.text for word in analyzer.state.waiting] == ["a", "b"]


def test_a_language_without_a_rule_has_words_but_no_syllables() -> None:
    (window,) = windows_of(messages_of(speech(10_200), evenly(SENTENCE, 0, 9_000), language="xx"))
    assert not window.HasField("syllables")
    assert window.HasField("words_per_minute")
    assert not window.HasField("syllables_per_minute")


def test_an_hour_leaves_a_state_of_a_few_kilobytes() -> None:
    rng = np.random.default_rng(5)
    state = DeliveryState()
    analyzer = DeliveryAnalyzer(ALL, state)
    sizes = []
    for number in range(36_000):
        if number % 100 == 0:
            analyzer.say(evenly(SENTENCE, number * BLOCK_MS, number * BLOCK_MS + 7_000), "en")
        talking = number % 100 < 70
        hertz = (100 * 2 ** rng.uniform(0, 2, HOPS)).tolist()
        list(analyzer.hear(block(1e-2 if talking else 0.0, hertz if talking else [float("nan")] * HOPS)))
        if number % 97 == 0:
            sizes.append(len(msgspec.msgpack.encode(state)))
    assert max(sizes) < 12_000
    assert max(sizes[-50:]) < max(sizes[5:100]) + 4_000


@pytest.mark.parametrize("seed", range(3))
def test_another_worker_continues_from_any_block(seed: int) -> None:
    rng = random.Random(seed)
    stretches = [
        (*speech(100 * rng.randrange(5, 60), 10 ** rng.uniform(-4, -2)), *silence(100 * rng.randrange(2, 130)))
        for _ in range(12)
    ]
    heard = list(itertools.chain(*stretches))
    words = [
        word
        for begin in range(0, len(heard) * BLOCK_MS - 5_000, 4_000)
        for word in evenly(SENTENCE, begin, begin + rng.randrange(2_000, 4_000))
    ]
    whole = messages_of(heard, words)
    moved, said = [], 0
    analyzer = DeliveryAnalyzer(ALL)
    for count, each in enumerate(heard, 1):
        ended = sum(word.end_ms <= count * BLOCK_MS for word in words)
        analyzer.say(words[said:ended], "en")
        said = ended
        moved += analyzer.hear(each)
        if rng.random() < 0.05:
            analyzer = DeliveryAnalyzer(ALL, copied(analyzer.state))
    analyzer.say(words[said:], "en")
    moved += analyzer.finish(len(heard) * BLOCK_MS)
    assert moved == whole


def test_a_stream_measured_from_its_midst_on_keeps_its_clock() -> None:
    state = DeliveryState(block=70, base_ms=7_000)
    words = evenly(SENTENCE, 8_000, 13_000)
    messages = messages_of(itertools.chain(speech(6_000), silence(2_500), speech(1_600)), words, state=state)
    assert frames_of(messages)[0].t0_ms == 7_000
    assert windows_of(messages)[0].t1_ms == 17_000
    assert windows_of(messages)[0].words == 9
    assert events_of(messages, "long_pause")[0][0] == pytest.approx(13_000, abs=40)


@pytest.mark.parametrize("silent_ms", [4_000, 12_000])
def test_silence_behind_the_last_word_changes_no_pace_whatever_sound_ends_it(silent_ms: int) -> None:
    """A cough, a door, somebody else: no word follows."""
    words = [word for begin in range(0, 30_000, 5_000) for word in evenly(SENTENCE, begin, begin + 5_000)]
    alone = messages_of(speech(30_000), words)[-1].delivery.summary.whole
    heard = itertools.chain(speech(30_000), silence(silent_ms), speech(400), silence(2_600))
    whole = messages_of(heard, words)[-1].delivery.summary.whole
    assert whole.words_per_minute == alone.words_per_minute
    assert whole.articulation_rate == alone.articulation_rate


def test_silence_between_turns_counts_once_words_follow() -> None:
    words = [*evenly(SENTENCE, 0, 5_000), *evenly(SENTENCE, 17_400, 22_400)]
    heard = itertools.chain(speech(5_000), silence(12_000), speech(400), speech(5_000))
    whole = messages_of(heard, words)[-1].delivery.summary.whole
    span = words[-1].end_ms - 12_000
    assert whole.words_per_minute.value == pytest.approx(18 * 60_000 / span, rel=0.01)


@pytest.mark.parametrize("media_ms", [9_900, 10_000, 10_100])
def test_the_last_sentence_counts_wherever_the_stream_ends(media_ms: int) -> None:
    """Nothing ends the sentence but the stream, perhaps with a window."""
    words = evenly("we we went to to the the green garden", 0, media_ms)
    whole = messages_of(speech(media_ms), words)[-1].delivery.summary.whole
    assert (whole.words, whole.repeated_words.value) == (9, 3)
