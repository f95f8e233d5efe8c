"""Rates are counts over time, and absent where the edges of words would decide them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.delivery.pace import LEAST_MS, LEAST_WORDS, Pace, pace, syllable_count
from workers.delivery.pauses import Stretch
from workers.delivery.words import SpokenWord


def spoken(text: str, each_ms: int = 400, gap_ms: int = 0, start_ms: int = 0) -> list[SpokenWord]:
    step = each_ms + gap_ms
    return [
        SpokenWord(f" {word}", start_ms + number * step, start_ms + number * step + each_ms)
        for number, word in enumerate(text.split())
    ]


def test_words_and_syllables_a_minute() -> None:
    found = pace(spoken("the water is under the old bridge again today and", 400), [], "en")
    assert (found.words, found.syllables) == (10, 14)
    assert found.words_per_minute == pytest.approx(150)
    assert found.syllables_per_minute == found.articulation_rate == pytest.approx(210)
    assert found.confidence == pytest.approx(0.95)


def test_pauses_count_for_the_pace_but_not_for_the_articulation() -> None:
    words = spoken("one two three five six", 400) + spoken("one two three five six", 400, start_ms=4_000)
    # Of a pause that reaches beyond the words, the part between them counts.
    found = pace(words, [Stretch(2_000, 4_000), Stretch(6_000, 9_000), Stretch(0, 0)], "en")
    assert found.words_per_minute == pytest.approx(10 * 60 / 6)
    assert found.articulation_rate == pytest.approx(10 * 60 / 4)


def test_too_little_is_not_measured() -> None:
    assert pace([], [], "en") == Pace(0, 0)
    few = pace(spoken("one two three four", 2_000), [], "en")
    assert (few.words, few.words_per_minute, few.articulation_rate, few.confidence) == (4, None, None, 0)
    brief = pace(spoken("one two three four five six", 300), [], "en")
    assert (brief.words, brief.words_per_minute) == (6, None)
    mostly_pause = pace(spoken("one two three four five", 600), [Stretch(100, 2_900)], "en")
    assert mostly_pause.words_per_minute is not None
    assert mostly_pause.articulation_rate is None
    assert (LEAST_WORDS, LEAST_MS) == (5, 3_000)


def test_punctuation_is_no_word() -> None:
    assert pace(spoken("well - yes . then - no"), [], "en").words == 4


def test_languages_without_a_rule() -> None:
    finnish = pace(spoken("tämä on hyvä päivä kaikille meille täällä tänään"), [], "fi")
    assert finnish.syllables is finnish.syllables_per_minute is finnish.articulation_rate is None
    assert finnish.words_per_minute == pytest.approx(150)
    japanese = pace(spoken("あ い う え お か き く"), [], "ja")
    assert japanese.words_per_minute is japanese.articulation_rate is None
    chinese = pace(spoken("我们 学习 汉语 今天 很好 我们 学习 汉语"), [], "zh")
    assert chinese.words_per_minute is None
    assert chinese.syllables_per_minute == pytest.approx(16 * 60 / 3.2)


def test_a_word_without_a_count_has_as_many_syllables_as_the_others() -> None:
    assert syllable_count(spoken("Frauen machen Häuser arbeiten 1984"), "de") == 11
    assert syllable_count(spoken("Frauen 1984"), "de") is None


@given(st.lists(st.integers(100, 900), min_size=5, max_size=30), st.floats(0.5, 2))
def test_speaking_faster_by_a_factor_is_a_pace_higher_by_it(lengths: list[int], factor: float) -> None:
    starts = [sum(lengths[:number]) for number in range(len(lengths) + 1)]
    words = [SpokenWord("over", start, end) for start, end in pairwise(starts)]
    faster = [SpokenWord("over", round(w.start_ms / factor), round(w.end_ms / factor)) for w in words]
    one, other = pace(words, [], "en").words_per_minute, pace(faster, [], "en").words_per_minute
    if one is not None and other is not None:
        assert other == pytest.approx(one * factor, rel=0.002)
