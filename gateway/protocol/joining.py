"""Joins the texts of finals: with a space between them, except for languages that are written without spaces.

The speech worker joins words and finals by the same rule (`workers/stt/words.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

UNSPACED_LANGUAGES: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})


def is_unspaced(language: str) -> bool:
    """Whether a language (BCP 47) is written without spaces between words."""
    return language.partition("-")[0].lower() in UNSPACED_LANGUAGES


def join_finals(finals: Iterable[tuple[str, str]]) -> str:
    """Join (text, language) pairs: no space between two texts in unspaced languages, one space everywhere else."""
    joined: list[str] = []
    before_unspaced = False
    for text, language in finals:
        if not (stripped := text.strip()):
            continue
        unspaced = is_unspaced(language)
        if joined and not (before_unspaced and unspaced):
            joined.append(" ")
        joined.append(stripped)
        before_unspaced = unspaced
    return "".join(joined)
