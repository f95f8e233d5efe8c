"""LocalAgreement-2: what is committed never changes, and only agreed words are committed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.stt.stabilizer import LocalAgreement
from workers.stt.tuning import samples
from workers.stt.words import Word


def words(text: str) -> list[Word]:
    return [Word(" " + part) for part in text.split()]


def texts(found: list[Word]) -> str:
    return " ".join(word.text.strip() for word in found)


def test_words_are_committed_when_two_hypotheses_agree() -> None:
    stable = LocalAgreement()
    assert stable.agree(words("so what is")) == []
    assert texts(stable.agree(words("So what was it"))) == "So what"
    assert texts(list(stable.tail)) == "was it"
    assert texts(stable.agree(words("so what was it then"))) == "was it"
    assert texts(list(stable.preview(words("so what was it then now")))) == "then now"


def test_sure_words_are_final_at_once_up_to_the_first_unsure_one() -> None:
    heard = words("so it is")
    stable = LocalAgreement()
    assert texts(stable.agree(heard, lambda word: word.key != "it")) == "so"
    assert texts(list(stable.tail)) == "it is"
    assert texts(stable.agree(heard)) == "it is"
    assert not LocalAgreement().agree(heard)


def test_the_tail_is_what_the_last_hypothesis_heard_behind_the_committed_words() -> None:
    stable = LocalAgreement()
    stable.agree(words("a b c"))
    stable.agree(words("a b d"))
    assert texts(list(stable.tail)) == "d"


def test_a_preview_leaves_no_trace() -> None:
    stable = LocalAgreement(words("a b"), words("c"))
    assert texts(list(stable.preview(words("a b x y")))) == "x y"
    assert texts(list(stable.tail)) == "c"


def test_a_disputed_word_is_passed_when_enough_agrees_behind_it() -> None:
    stable = LocalAgreement()
    stable.agree(words("thou dost beguile the world some mother"))
    assert texts(stable.agree(words("thou dust be guile the world unblessed"))) == "thou"
    assert texts(stable.agree(words("thou dost be guile the world unblessed"))) == "dost be guile the world unblessed"


def test_many_disputed_words_are_not_passed() -> None:
    stable = LocalAgreement([], words("so a b c d e f g h"))
    assert texts(stable.agree(words("so x y z d e f g h"))) == "so"


def test_a_hypothesis_that_jumps_over_words_is_noticed() -> None:
    stable = LocalAgreement(words("x y"), words("a b c d e f g h"))
    assert stable.skips(words("x y g h"))
    assert not stable.skips(words("x y a b d e f"))
    assert not LocalAgreement([], words("a b c d")).skips([])


def test_only_committed_words_can_be_trimmed() -> None:
    stable = LocalAgreement(words("a b"), words("c"))
    stable.trim(1)
    assert texts(list(stable.committed)) == "b"
    with pytest.raises(ValueError, match="committed"):
        stable.trim(2)


def timed(*parts: tuple[str, float, float]) -> list[Word]:
    return [Word(f" {text}", samples(start), samples(end), 0.9) for text, start, end in parts]


BUD = timed(("own", 0.0, 0.4), ("bud,", 0.4, 0.9))


def test_what_a_compound_says_behind_a_committed_word_is_not_lost() -> None:
    stable = LocalAgreement(BUD)
    heard = timed(("own", 0.0, 0.4), ("bud-buriest", 0.4, 1.4), ("thy", 1.4, 1.6))
    fresh = list(stable.preview(heard))
    assert texts(fresh) == "buriest thy"
    assert (fresh[0].start, fresh[0].end) == (samples(0.9), samples(1.4))
    stable.agree(heard)
    assert texts(stable.agree(heard)) == "buriest thy"
    assert list(stable.preview(heard)) == [], "both parts are committed now"


@pytest.mark.parametrize(
    "heard",
    [
        timed(("own", 0.0, 0.4), ("bud-bud", 0.4, 0.9)),
        timed(("own-bud", 0.0, 0.9)),
        timed(("own", 0.0, 0.4), ("rose-bud", 0.4, 0.9)),
        timed(("own", 0.0, 0.4), ("bud-", 0.4, 1.2)),
        words("own bud-buriest"),
    ],
)
def test_a_compound_that_says_no_more_than_committed_words_adds_nothing(heard: list[Word]) -> None:
    assert list(LocalAgreement(BUD).preview(heard)) == []


hypotheses = st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), max_size=8)


@given(hypotheses)
def test_committed_text_only_grows_and_was_said_twice(said: list[str]) -> None:
    stable = LocalAgreement()
    committed: list[str] = []
    before: list[Word] = []
    for text in said:
        fresh = stable.agree(words(text))
        if len(fresh) < 4:
            assert [word.key for word in fresh] == [word.key for word in before[: len(fresh)]]
        committed += [word.key for word in fresh]
        assert [word.key for word in stable.committed] == committed
        before = list(stable.tail)
