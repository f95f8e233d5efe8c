"""Joining finals into one text."""

from hypothesis import given
from hypothesis import strategies as st
from talkup_client import cues

from gateway.protocol.joining import UNSPACED_LANGUAGES, join_finals
from workers.stt import words

LANGUAGES = st.sampled_from(["en", "fr", "", "auto", *sorted(UNSPACED_LANGUAGES)])


def test_all_packages_use_the_same_rule() -> None:
    assert words.UNSPACED_LANGUAGES == UNSPACED_LANGUAGES == cues.UNSPACED_LANGUAGES


@given(st.lists(st.text("ab ", max_size=4)), LANGUAGES)
def test_within_one_language_it_joins_like_the_worker(texts: list[str], language: str) -> None:
    stripped = [text.strip() for text in texts]
    assert join_finals((text, language) for text in texts) == words.join_finals(stripped, language)


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=4), LANGUAGES)))
def test_nothing_but_single_spaces_between_texts_is_added(finals: list[tuple[str, str]]) -> None:
    joined = join_finals(finals)
    assert joined.replace(" ", "") == "".join(text for text, _ in finals)
    assert "  " not in joined
