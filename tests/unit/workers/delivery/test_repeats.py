"""Repeats: what is said again at once is found, what grammar or emphasis doubles is marked, the rest is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.workers.delivery.test_pace import spoken
from workers.delivery.repeats import COUNTED, Repeat, counts, repeats
from workers.delivery.words import SpokenWord


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We saw the the house.", (1, 0)),
        ("I, I think so.", (1, 0)),
        ("the the the house", (2, 0)),
        ("the the the the house", (3, 0)),
        ("I want, I want to go", (0, 1)),
        ("I want I want I want to go", (0, 2)),
        ("je veux, je veux dire", (0, 1)),
        ("c'est c'est bien", (1, 0)),
        ("We went to- we drove home", (0, 1)),
        ("So I thought… I thought about it", (0, 1)),
        ("I was going to, I was going to say the the thing", (1, 1)),
        ("Er war war krank", (1, 0)),
        # Not counted: grammar, emphasis, figures of speech, letters, digits.
        ("the one that that man had had", (0, 0)),
        ("nous nous voyons", (0, 0)),
        ("die die das das kennen", (0, 0)),
        ("it is very, very good", (0, 0)),
        ("no no no", (0, 0)),
        ("again and again and again", (0, 0)),
        ("double S S 5 5", (0, 0)),
        # Not repeats: two sentences, the same word later, a dash that breaks nothing off.
        ("We go. We go home.", (0, 0)),
        ("the house and the garden", (0, 0)),
        ("a well- known case", (0, 0)),
        ("", (0, 0)),
        ("... - !", (0, 0)),
    ],
)
def test_what_counts(text: str, expected: tuple[int, int]) -> None:
    assert counts(repeats(spoken(text))) == expected


def test_a_repeat_says_where_it_is() -> None:
    words = spoken("so I want, I want to go")
    assert repeats(words) == [Repeat(400, 2000, 2, restart=True, confidence=0.9)]


def test_doubles_that_may_be_wanted_are_given_with_little_confidence() -> None:
    (found,) = repeats(spoken("I know that that is so"))
    assert found.confidence < COUNTED
    assert not found.restart


def test_a_long_gap_separates() -> None:
    assert repeats([SpokenWord("the", 0, 300), SpokenWord("the", 3_000, 3_300)]) == []


@given(st.lists(st.sampled_from(["alpha", "beta", "gamma,", "delta.", "eps-", "zeta"]), max_size=30))
def test_repeats_follow_one_another(texts: list[str]) -> None:
    found = repeats(spoken(" ".join(texts)))
    starts = [repeat.t0_ms for repeat in found]
    assert starts == sorted(starts)
    assert all(repeat.t0_ms < repeat.t1_ms and repeat.words >= 1 for repeat in found)


@given(st.permutations(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]))
def test_words_that_all_differ_repeat_nothing(texts: list[str]) -> None:
    assert repeats(spoken(" ".join(texts))) == []
