"""Syllables of French words by rule, as they are spoken: a final e is silent."""

from __future__ import annotations

import re
from typing import Final

_VOWELS: Final = re.compile("[aeiouyàâæéèêëîïôöœùûüÿ]+")
_SILENT: Final = re.compile("(?<=[^aeiouyàâéèêëîïôöùûü])e(s|nt)?$")
_HIATUS: Final = re.compile("é(?=[aeouàâéèêœ])|[aeou][ïëü]|ao(?!u)|y(?=[aeouéè])(?<=[aou]y)")
_ELIDED: Final = re.compile("^([cdjlmnst]|qu|jusqu|lorsqu|puisqu)'")


def french(word: str) -> int:
    """Syllables of a word in lower case; 0 without a letter that can be a vowel."""
    word = _ELIDED.sub("", word)
    stem = _SILENT.sub("", word)
    if not _VOWELS.search(stem):
        return 1 if _VOWELS.search(word) else 0
    return len(_VOWELS.findall(stem)) + len(_HIATUS.findall(stem))
