"""The arithmetic of bench/peers: when a word counts as shown, which words were lost, which came twice."""

from __future__ import annotations

import math

import pytest

from bench.peers.live import BEST, bounds, keeps_up, ratios
from bench.peers.peer import Screen, Shown
from bench.peers.words import Damage, Spoken, damage, delays, last_words, spoken
from bench.stt.offline import TimedWord

SAID = [
    Spoken("the", 0.0, 0.2),
    Spoken("cat", 0.3, 0.6),
    Spoken("saw", 0.7, 1.0),
    Spoken("the", 1.1, 1.2),
    Spoken("dog", 1.3, 1.6),
]


def test_a_word_counts_once_the_text_holds_it_in_its_place() -> None:
    states = [
        Shown(100.9, "The cap", ""),
        Shown(101.5, "The cat saw", "The cat"),
        Shown(103.0, "The cat saw the dog.", "The cat saw the dog."),
    ]
    found = delays(SAID, states, began=100.0)
    assert found.words == 5
    assert found.shown == pytest.approx((0.7, 0.9, 0.5, 1.8, 1.4))
    assert found.final == pytest.approx((1.3, 0.9, 2.0, 1.8, 1.4))


def test_a_word_that_is_not_yet_spoken_cannot_be_shown() -> None:
    found = delays(SAID, [Shown(0.25, "dog", "")], began=0.0)
    assert found.shown == ()


def test_a_word_that_vanishes_again_keeps_its_first_time() -> None:
    states = [Shown(1.0, "the cat", ""), Shown(1.5, "the hat", ""), Shown(2.0, "the cat", "the cat")]
    found = delays(SAID[:2], states, began=0.0)
    assert found.shown == pytest.approx((0.8, 0.4))
    assert found.final == pytest.approx((1.8, 1.4))


def test_timed_words_are_split_as_the_normaliser_splits_them() -> None:
    assert spoken([TimedWord(" It's", 1.0, 1.4), TimedWord(" -", 1.4, 1.5)]) == [
        Spoken("it", 1.0, 1.4),
        Spoken("is", 1.0, 1.4),
    ]


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        ("alpha beta gamma delta epsilon zeta", Damage(0, 0, 0, 6)),
        ("alpha beta epsilon zeta", Damage(2, 0, 0, 6)),
        ("alpha beta gamma beta gamma delta epsilon zeta", Damage(0, 2, 0, 6)),
        ("alpha beta gamut delta epsilon zeta", Damage(0, 0, 1, 6)),
        ("alpha beta gamma delta epsilon zeta eta", Damage(0, 0, 0, 6)),
        ("", Damage(6, 0, 0, 6)),
    ],
)
def test_lost_doubled_and_changed_words_are_told_apart(got: str, expected: Damage) -> None:
    assert damage("alpha beta gamma delta epsilon zeta", got) == expected


def test_a_word_of_another_place_is_an_addition_and_no_repetition() -> None:
    wanted = " ".join(f"{letter}{letter}o" for letter in "abcdefghijklmnopqrstuvwxyz")
    assert damage(wanted, f"{wanted} aao").doubled == 0


def test_only_the_last_words_are_counted() -> None:
    wanted = ["ask", "what", "you", "can", "do", "for", "your", "country"]
    assert last_words(wanted, "Ask what you can do for your country.", 3) == 3
    assert last_words(wanted, "Ask what you can do", 3) == 0
    assert last_words(wanted, "Ask what you can do for country.", 3) == 2


def test_a_screen_keeps_changes_alone_and_knows_when_words_last_changed() -> None:
    times = iter([1.0, 2.0, 3.0])
    screen = Screen(lambda: next(times))
    screen.show("", "hello")
    screen.show("", " hello ")
    screen.show("", "hello there")
    screen.show("hello there")
    assert [state.at for state in screen.states] == [1.0, 2.0, 3.0]
    assert screen.text == "hello there"
    assert screen.changed_at == 2.0, "what turns final is no new word"
    assert math.isnan(Screen().changed_at)


@pytest.mark.parametrize(
    ("late", "errors", "failed", "good"),
    [
        (1.9, 12.9, 0, True),
        (2.1, 10.0, 0, False),
        (0.1, 13.1, 0, False),
        (0.1, 10.0, 1, False),
        (math.nan, 0, 0, False),
    ],
)
def test_keeping_up_is_being_on_time_with_the_words_of_one_stream(
    late: float, errors: float, failed: int, good: bool
) -> None:
    figures = {"end_to_last_text_p95_s": late, "word_error_percent": errors, "streams_failed": failed}
    assert keeps_up(figures, alone=10.0) is good


def _live(largest: int, on_time: int) -> dict[str, object]:
    return {"largest_that_keeps_up": largest, "largest_on_time": on_time}


@pytest.mark.parametrize(
    ("others", "best", "against"),
    [
        ({"fast": _live(2, 4), "faster": _live(1, 6), "offline": _live(30, 30)}, 6, "faster"),
        ({"fast": _live(0, 0)}, 1, "fast"),
        ({"fast": {"not_measured": "does not start"}, "faster": _live(3, 3)}, 3, "faster"),
    ],
)
def test_streams_on_time_are_compared_with_the_best_that_shows_words_live(
    others: dict[str, dict[str, object]], best: int, against: str
) -> None:
    made = ratios({"talkup": _live(20, 24), **others}, streaming={"talkup", "fast", "faster"})
    assert made[BEST]["ratio"] == 24 / best
    assert made[BEST]["against"].startswith(against)
    assert [check.verdict for check in bounds(made)] == ["FAIL" if best == 6 else "pass"]


def test_without_another_streaming_server_there_is_nothing_to_compare() -> None:
    assert bounds(ratios({"talkup": _live(20, 24), "offline": _live(4, 4)}, streaming={"talkup", "fast"})) == []
