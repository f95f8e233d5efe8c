"""What makes two words equal, and where sentences end."""

from __future__ import annotations

import pytest

from tests.unit.workers.delivery.test_pace import spoken
from workers.delivery.words import SpokenWord, sentences


@pytest.mark.parametrize(
    ("text", "key"),
    [(" The,", "the"), (" it’s", "it's"), (" …", ""), (" 'Tis", "tis"), (" l'été.", "l'été"), ("_", "")],
)
def test_keys(text: str, key: str) -> None:
    assert SpokenWord(text, 0, 1).key == key


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("end.", True),
        ("end?", True),
        ('end."', True),
        ("end…", False),
        ("end...", False),
        ("end,", False),
        ("了。", True),
    ],
)
def test_ends_of_sentences(text: str, ends: bool) -> None:
    assert SpokenWord(text, 0, 1).ends_sentence == ends


def test_sentences_are_whole() -> None:
    found = ["".join(word.text for word in sentence) for sentence in sentences(spoken("We go. Do you? Then"))]
    assert found == [" We go.", " Do you?"]
