"""Final words with their times, and the sentences they form."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

_NOT_IN_KEY: Final = re.compile(r"[^\w']+")
_SENTENCE_ENDS: Final = (".", "?", "!", "。", "？", "！", "؟", "।")
_CLOSING: Final = "\"'”’»)]"


class SpokenWord(msgspec.Struct, frozen=True, array_like=True):
    """A final word: `text` as in the transcript, times on the stream's media clock."""

    text: str
    start_ms: int
    end_ms: int

    @property
    def key(self) -> str:
        """What is compared of it: lower case, no punctuation; empty for punctuation alone."""
        key = _NOT_IN_KEY.sub("", self.text.lower().replace("’", "'")).strip("'_")
        return key if any(character.isalnum() for character in key) else ""

    @property
    def ends_sentence(self) -> bool:
        """Whether a full stop, a question or an exclamation mark ends it; an ellipsis leaves the sentence open."""
        text = self.text.rstrip().rstrip(_CLOSING)
        return text.endswith(_SENTENCE_ENDS) and not text.endswith("..")


def sentences(words: Sequence[SpokenWord]) -> Iterator[tuple[SpokenWord, ...]]:
    """The sentences that end in these words; words behind the last end are not given."""
    begin = 0
    for at, word in enumerate(words):
        if word.ends_sentence:
            yield tuple(words[begin : at + 1])
            begin = at + 1
