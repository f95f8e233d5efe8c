"""Syllables of English words by rule."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = {
    word: count
    for count, words in {
        1: "the real hour hours our don't won't can't aren't weren't ain't eye eyes says queue suite i'm",
        2: "people being every different interest several something sometimes someone somewhere therefore maybe "
        "business really science quiet going doing seeing lion poem poet mr mrs dr average evening",
        3: "idea area interesting everything everyone created recipe temperature comfortable family somebody",
        4: "everybody society",
    }.items()
    for word in words.split()
}
_VOWELS: Final = re.compile("[aeiouyéèêáíóöü]+")
_SILENT_E: Final = re.compile("[^aeiouy]e$")
_SILENT_ED: Final = re.compile("[^aeiouytd]ed$")
_SILENT_ES: Final = re.compile("([^aeiouysxzcg]|[^sc]h)es$")
_SYLLABIC_L: Final = re.compile("[^aeiouylrw]le[sd]?$")
_SUFFIX: Final = re.compile("(?<=[^aeiouy]e)(ly|less|ness|ful|ment|ments)$")
_HIATUS: Final = re.compile(
    r"(?<![ctsg])i(?=a(?!ge$))|(?<![ctsgn])i(?=o)|eo(?!u)|[aeiou]ing$|u(?=al|ous|at)|iu|ya[^l]|y(?=i)"
)
_SYLLABIC_N: Final = re.compile("(d|s)n't$|sms?$")


def english(word: str) -> int:
    """Syllables of a word in lower case; 0 without a letter that can be a vowel."""
    word = word.removesuffix("'s") if not word.endswith(("s's", "x's", "z's", "ch's")) else word
    if word in _WORDS:
        return _WORDS[word]
    suffix = _SUFFIX.search(word)
    if suffix:
        return english(word[: suffix.start()]) + len(_VOWELS.findall(suffix.group())) - suffix.group().count("ess") * 0
    total = len(_VOWELS.findall(word.lstrip("y")))
    total += len(_HIATUS.findall(word)) + bool(_SYLLABIC_N.search(word))
    if _SILENT_ED.search(word) or _SILENT_ES.search(word) or _SILENT_E.search(word):
        total -= 1
    total += bool(_SYLLABIC_L.search(word)) * (not word.endswith("e") or True)
    return max(1, total) if _VOWELS.search(word) else 0
