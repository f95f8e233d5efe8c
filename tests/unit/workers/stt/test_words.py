"""Equality, joining and matching of words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.stt.words import TokenGroup, Word, join_finals, join_words, match_committed, merge_groups, word_key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (" Hello,", "hello"),
        (" don't", "don't"),
        (" —", ""),
        ("'", ""),
        (" l'homme", "l'homme"),
        ("学", "学"),
        (" 42%", "42"),
    ],
)
def test_key_has_neither_case_nor_punctuation(text: str, key: str) -> None:
    assert word_key(text) == key


def groups(*texts: str) -> list[TokenGroup]:
    return [TokenGroup(text, (index,)) for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("texts", "spaced", "merged"),
    [
        ([" Yes", ",", " sir", "."], True, [" Yes,", " sir."]),
        ([" l", "'homme", " -", " dit"], True, [" l'homme -", " dit"]),
        ([' "', " DecodeJob"], True, [' " DecodeJob']),
        (["東", "京", "。"], False, ["東", "京。"]),
        ([], True, []),
    ],
)
def test_merging(texts: list[str], spaced: bool, merged: list[str]) -> None:
    result = merge_groups(groups(*texts), spaced=spaced)
    assert [group.text for group in result] == merged
    assert [token for group in result for token in group.tokens] == list(range(len(texts)))


def test_joining_follows_the_language() -> None:
    assert join_words([Word(" a"), Word(" b.")]) == "a b."
    assert join_finals(["a b.", "", "c"], "en") == "a b. c"
    assert join_finals(["東", "京"], "ja") == "東京"


def words(text: str) -> list[Word]:
    return [Word(" " + part) for part in text.split()]


@pytest.mark.parametrize(
    ("committed", "hypothesis", "length"),
    [
        ("", "a b", 0),
        ("a b", "a b c", 2),
        ("a b", "A, b. c", 2),
        ("a x b", "a b c", 2),
        ("a b", "a y b c", 2),
        ("a b c", "b c d", 2),
        ("a b", "", 0),
        ("a b", "c d", 2),
    ],
)
def test_committed_words_are_found_again(committed: str, hypothesis: str, length: int) -> None:
    assert match_committed(words(committed), words(hypothesis)) == length


def test_of_prefixes_alike_the_one_that_ends_at_the_same_time_is_taken() -> None:
    committed = [Word(" a", 0, 3_000), Word(" demo", 5_000, 9_000)]
    anew = [
        Word(" a", 0, 3_000),
        Word(" short", 3_000, 5_000),
        Word(" demo", 5_000, 9_100),
        Word(" then", 9_100, 12_000),
    ]
    assert match_committed(committed, anew) == 3
    untimed = [Word(word.text) for word in anew]
    assert match_committed(committed, untimed) == 2


vocabulary = st.lists(st.sampled_from("abcde"), max_size=12).map(lambda letters: words(" ".join(letters)))


@given(vocabulary, vocabulary)
def test_an_exact_prefix_is_matched_at_no_cost(committed: list[Word], rest: list[Word]) -> None:
    length = match_committed(committed, [*committed, *rest])
    assert [word.key for word in [*committed, *rest][:length]] == [word.key for word in committed]
