"""Words say that it is speech, the sound says from when to when; in whatever order both come."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.spoken import MOVE_MS, NEAR_MS, Spoken, spoken
from gateway.protocol.turns import Span


def test_edges_are_those_of_the_sound() -> None:
    """The last word ends 150 ms after its sound; another one half a second before it."""
    words = [Span(1000, 1300), Span(1300, 2150), Span(5100, 5400)]
    assert spoken(words, [Span(980, 2000), Span(5000, 6000)]) == [Span(980, 2000), Span(5000, 6000)]


def test_words_without_any_sound_keep_their_times() -> None:
    words = [Span(1000, 1300), Span(1400, 1900)]
    assert spoken(words, []) == words
    assert spoken(words, [Span(1900 + NEAR_MS, 9000)]) == words


def test_sound_without_a_word_is_no_speech() -> None:
    assert spoken([Span(1000, 1300)], [Span(1000, 1300), Span(4000, 4300)]) == [Span(1000, 1300)]
    assert spoken([], [Span(4000, 4300)]) == []


@pytest.mark.parametrize(
    ("word", "owner"),
    [
        pytest.param(Span(2100, 2200), Span(1500, 2000), id="behind the sound"),
        pytest.param(Span(2450, 2550), Span(2600, 3000), id="before the sound"),
        pytest.param(Span(2300, 2300), Span(1500, 2000), id="as near to both: the earlier one"),
        pytest.param(Span(1700, 1700), Span(1500, 2000), id="without a length"),
    ],
)
def test_a_word_outside_the_sound_belongs_to_the_nearest_one(word: Span, owner: Span) -> None:
    assert spoken([word], [Span(1500, 2000), Span(2600, 3000)]) == [owner]


def test_a_tune_hummed_before_and_after_a_word_is_no_speech() -> None:
    assert spoken([Span(20_000, 20_400)], [Span(0, 60_000)]) == [Span(20_000 - MOVE_MS, 20_400 + MOVE_MS)]


def test_nothing_is_certain_before_the_sound_around_it_is() -> None:
    speech = Spoken()
    speech.say([Span(1000, 1300)])
    assert speech.take(3000) == ([], -math.inf)
    speech.hear([], 900)
    assert speech.take(3000) == ([], 900)
    speech.hear([Span(900, 1200)], 1800)
    assert speech.take(1600) == ([], 900)  # another word may begin at 1600, as near as 400 ms
    assert speech.take(1700) == ([Span(900, 1200)], 1700)
    assert speech.take(math.inf) == ([], 1800)


def test_stretches_that_come_again_do_not_count_again() -> None:
    speech = Spoken()
    assert speech.hear([Span(0, 500), Span(800, 900)], 1000) == [Span(0, 500), Span(800, 900)]
    assert speech.hear([Span(800, 900), Span(1000, 1100)], 1200) == [Span(1000, 1100)]


def test_words_beyond_a_bound_are_forgotten_and_counted() -> None:
    speech = Spoken()
    speech.say([Span(at, at + 1) for at in range(10)])
    assert speech.forget(4) == 6
    speech.hear([], math.inf)
    assert speech.take(math.inf)[0] == [Span(at, at + 1) for at in range(6, 10)]


lengths = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 20)), max_size=8)


def laid_out(parts: list[tuple[int, int]]) -> list[Span]:
    """Gaps and lengths in tenths of a second."""
    spans, at = [], 0
    for gap, length in parts:
        spans.append(Span(100 * (at + gap), 100 * (at + gap + length)))
        at += gap + length
    return spans


@given(said=lengths, heard=lengths, rng=st.randoms(use_true_random=False))
def test_the_speech_is_the_same_in_whatever_order_words_and_sound_come(
    said: list[tuple[int, int]], heard: list[tuple[int, int]], rng: Any
) -> None:
    """As that of the whole stream at once; and none begins before what was certain."""
    words, stretches = laid_out(said), laid_out(heard)
    speech, found, certain = Spoken(), [], -math.inf
    coming_words, coming_sound = list(words), list(stretches)
    while coming_words or coming_sound:
        if coming_words and (not coming_sound or rng.random() < 0.5):
            speech.say([coming_words.pop(0)])
        else:
            given_now = coming_sound.pop(0)
            speech.hear([given_now], coming_sound[0].t0_ms if coming_sound else given_now.t1_ms)
        spans, until = speech.take(coming_words[0].t0_ms if coming_words else math.inf)
        assert all(span.t0_ms >= certain for span in spans)
        assert until >= certain
        certain = until
        found += spans
    speech.hear([], math.inf)
    found += speech.take(math.inf)[0]
    assert sorted(found) == spoken(words, stretches)
