"""Syllables of written words, against what a dictionary says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.delivery import syllables
from workers.delivery.syllables import count

WORDS = {
    "en": {
        0: ". … -",
        1: "the cat strength walked makes league house don't was through years Mark's I House.",
        2: "water table wanted houses didn't going player prism something quiet million George's 50",
        3: "another beautiful area idea important interesting reaction family 100 BBC 3.5 well-being 2,000,000",
        4: "information January society especially 2005 50%",
        5: "university opportunity California 1984",
    },
    "fr": {
        1: "le que est lui nuit parlent hommes bien quatre août l'eau j’ai juin mes 100 1000",
        2: "client maison parlaient souvent pays voyage argent années comment samedi maintenant",
        3: "président politique naïveté musical aujourd'hui 80 février",
        4: "situation européen actuellement 3,5",
    },
    "de": {1: "ist durch", 2: "Frauen machen Häuser", 3: "Entwicklung arbeiten Familie"},
    "es": {1: "y muy", 2: "luego agua baúl", 3: "países poeta mañana", 4: "ideales desarrollo"},
    "it": {2: "bene", 3: "paese allora", 5: "università"},
    "pt": {2: "coisa falar", 3: "pessoa países", 5: "felicidade"},
    "nl": {2: "water mensen", 3: "ideeën"},
    "ru": {1: "я дом", 2: "моя время", 3: "хорошо"},
    "ko": {2: "사람", 3: "감사해"},
    "zh": {2: "你好", 4: "我们学习"},
}


@pytest.mark.parametrize("language", WORDS)
def test_words_of_the_dictionary(language: str) -> None:
    wrong = {
        word: (count(word, language), expected)
        for expected, words in WORDS[language].items()
        for word in words.split()
        if count(word, language) != expected
    }
    assert not wrong


def test_what_has_no_rule_is_not_counted() -> None:
    assert count("sana", "fi") is None
    assert count("ありがとう", "ja") is None
    assert count("1984", "de") is None
    assert count("im Jahr 1984", "de") is None


def test_every_language_with_a_rule_counts_its_own_words() -> None:
    assert set(WORDS) | {"uk", "yue"} == syllables.LANGUAGES
    assert count("Україна", "uk") == 4
    assert count("你好", "yue") == 2


@given(st.text(max_size=40), st.sampled_from(sorted(syllables.LANGUAGES)))
def test_no_text_breaks_a_rule(text: str, language: str) -> None:
    """Nor has any more than seven syllables a character."""
    found = count(text, language)
    assert found is None or 0 <= found <= 7 * len(text)
