"""The fake engine's words: what they are for given bytes, and how a stream of bytes is cut into them. Pure."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

WORD_BYTES: Final = 1000
_SYLLABLES: Final = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "ve")


def word_of(block: bytes) -> str:
    """The word of one block: 65,536 different ones, of four syllables."""
    digest = hashlib.blake2b(block, digest_size=2).digest()
    return "".join(_SYLLABLES[nibble] for byte in digest for nibble in (byte >> 4, byte & 15))


def expected_words(payload: bytes, *, word_bytes: int = WORD_BYTES, breaks: Iterable[int] = ()) -> list[str]:
    """The words that a correct worker finds in `payload`, the concatenated chunks of a stream that was ended.

    `breaks` are the byte offsets at which blocks are closed early: flushes, recordings after the first, losses.
    """
    edges = sorted({0, len(payload), *(offset for offset in breaks if 0 < offset < len(payload))})
    return [
        word_of(payload[at : min(at + word_bytes, end)])
        for begin, end in itertools.pairwise(edges)
        for at in range(begin, end, word_bytes)
    ]


class PlacedWord(NamedTuple):
    """A word and the stream offsets of its block, bytes."""

    text: str
    begin: int
    end: int


@dataclass(slots=True)
class WordCutter:
    """Cuts bytes into words. `edge` is the stream offset up to which words are cut."""

    word_bytes: int
    edge: int = 0
    _block: bytearray = field(default_factory=bytearray)

    def push_bytes(self, payload: bytes) -> list[PlacedWord]:
        """Add bytes; returns the words that they complete."""
        self._block += payload
        words = []
        while len(self._block) >= self.word_bytes:
            words.append(self._cut(self.word_bytes))
        return words

    def seal(self) -> list[PlacedWord]:
        """Close the current block; returns its word, if it holds any bytes."""
        return [self._cut(len(self._block))] if self._block else []

    def _cut(self, size: int) -> PlacedWord:
        word = PlacedWord(word_of(bytes(self._block[:size])), self.edge, self.edge + size)
        del self._block[:size]
        self.edge += size
        return word
