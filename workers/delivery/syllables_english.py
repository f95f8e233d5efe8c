"""Syllables of English words by rule."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = {
    word: count
    for count, words in {
        1: "the hour hours our don't won't can't aren't weren't ain't eye eyes says suite i'm george",
        2: "people being every different interest several something sometimes someone somewhere therefore maybe real "
        "business really science quiet going doing seeing lion poem poet mr mrs dr average evening ok safety awesome "
        "centre separate iron conference difference reference camera vs",
        3: "idea area interesting interested everything everyone anyone created recipe temperature comfortable family "
        "somebody secretary violence parliament theory",
        4: "everybody society january february reality",
    }.items()
    for word in words.split()
}
_VOWELS: Final = re.compile("[aeiouyéèêáíóöü]+")
_SILENT: Final = re.compile(
    # A final e; -ed but after t and d; -es but after a hiss; -que and -gue.
    "[^aeiouy]e$|[^aeiouytd]ed$|([^aeiouysxzcgh]|[^sc]h)es$|[qg]ues?$"
)
_SYLLABIC: Final = re.compile("[^aeiouylrw]le[sd]?$|[ds]n't$|sms?$")
_SUFFIX: Final = re.compile("(?<=[^aeiouy]e)(ly|less|ness|ful|ments?)$")
_HIATUS: Final = re.compile(
    "(?<![ctsg])i(?=a(?!ge$))|(?<=[cs])i(?=at)|(?<![ctsgnh])(?<!ll)i(?=o)|i(?=er$|est$)|(?<![ctsg])i(?=en[ct])|iu"
    "|eo(?!u)|(?<=cr)e(?=at)|(?<=r)e(?=act|ali)|(?<!q)u(?=al|ous|at|en[ct])|[aeiouy]ing$|(?<=[aeiou])y(?=[ao]|er|ee)"
)


def english(word: str) -> int:
    """Syllables of a word in lower case; 0 without a letter that can be a vowel."""
    if word in _WORDS:
        return _WORDS[word]
    if word.endswith("'s"):
        stem = word.removesuffix("'s")
        return english(stem) + stem.endswith(("s", "x", "z", "ch", "sh", "ce", "ge", "se"))
    suffix = _SUFFIX.search(word)
    if suffix:
        return english(word[: suffix.start()]) + 1
    if not _VOWELS.search(word):
        return 0
    # A first y is a consonant.
    total = len(_VOWELS.findall(word.removeprefix("y") if word != "y" else word))
    total += len(_HIATUS.findall(word)) + bool(_SYLLABIC.search(word)) - bool(_SILENT.search(word))
    return max(1, total)
