"""Syllables of written words by rule: a group of vowels is one; each language says which groups are two or none.

The error against espeak-ng's phonemes is in `count`. Errors of single words balance in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from workers.delivery import numerals
from workers.delivery.syllables_english import english
from workers.delivery.syllables_french import french

UNSPACED: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue", "km", "bo"})
"""Languages written without spaces between words."""

_PIECE: Final = re.compile(r"\d+|[^\W\d_]+(?:['’][^\W\d_]+)*")
_SPELLED_LETTERS: Final = 3


def _groups(vowels: str, *splits: str) -> Callable[[str], int]:
    """One syllable for each group of vowels, and one more for each match of `splits` in it."""
    group = re.compile(f"[{vowels}]+")
    breaks = [re.compile(split) for split in splits]
    return lambda word: len(group.findall(word)) + sum(len(split.findall(word)) for split in breaks)


def _letters(low: str, high: str) -> Callable[[str], int]:
    return lambda word: sum(low <= letter <= high for letter in word)


_STRONG_ES = "aeoáéó"
_RULES: Final[Mapping[str, Callable[[str], int]]] = {
    "en": english,
    "fr": french,
    "es": _groups("aeiouáéíóúü", f"(?<=[{_STRONG_ES}])[{_STRONG_ES}íú]", "[íú](?=[aeo])"),
    "it": _groups("aeiouàèéìíòóù", "(?<=[aeoàèéò])[aeoàèéòìù]", "ì(?=[aeo])"),
    "pt": _groups("aeiouáâãàéêíóôõú", "(?<=[aeoáéó])[aeáéíú]", "(?<=[aei])o(?!s?$)", "í(?=[aeo])"),
    "de": _groups("aeiouyäöü", "(?<=[iu])(?=[aou])", "(?<=[eu])(?=[aä])(?<!au)", "(?<=ie)(?=[rn]en$)"),
    "nl": _groups("aeiouyéëïöü", "(?<=[aeiou])[ëïöü]"),
    "ru": _groups("аеёиоуыэюя", "(?<=[аеёиоуыэюя])[аеёиоуыэюя]"),
    "uk": _groups("аеєиіїоуюя", "(?<=[аеєиіїоуюя])[аеєиіїоуюя]"),
    "ko": _letters("가", "힣"),
    "zh": _letters("一", "鿿"),
    "yue": _letters("一", "鿿"),
}
_NUMERALS: Final = {"en": numerals.ENGLISH, "fr": numerals.FRENCH}
_SYMBOLS: Final = {"%": 2, "$": 2, "€": 2, "£": 1, "&": 1}

LANGUAGES: Final = frozenset(_RULES)
"""Languages with a rule, ISO 639-1 (`yue` as Whisper names it)."""


def count(word: str, language: str) -> int | None:
    """The syllables of a word of the transcript; None in a language without a rule, and for digits outside en and fr.

    Numbers are read out in English and French, capitals of up to three letters are spelled. Punctuation alone has none.
    """
    rule = _RULES.get(language)
    if rule is None:
        return None
    total = 0
    for piece in _PIECE.findall(word):
        if piece[0].isdigit():
            if language not in _NUMERALS or not piece.isascii():
                return None
            total += _NUMERALS[language].count(piece)
        elif language in _NUMERALS:
            total += _spelled(piece, word) or rule(piece.lower().replace("’", "'"))
        else:
            total += rule(piece.lower())
    if language in _NUMERALS:
        total += sum(_SYMBOLS.get(symbol, 0) for symbol in word)
    return total


def _spelled(piece: str, word: str) -> int:
    """Syllables of the names of letters that are read one by one; 0 for a word, and for an ordinal's ending."""
    if 2 <= len(piece) <= _SPELLED_LETTERS and piece.isupper():
        return sum(3 if letter == "W" else 1 for letter in piece)
    return 0
