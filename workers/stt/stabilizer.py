"""LocalAgreement-2: a word is final once two hypotheses in a row, on growing audio, agree on it and all before it.

Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis
Selection" (2020); Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System" (2023).

The decoder is neither forced onto the committed words nor prompted with them (forced prefix: +0.41 points; prompt
tail: 8.44 against 6.94). It decodes the whole window freely; the words committed before are found in the new
hypothesis by edit distance, and what follows them is new. Invariant: committed words never change.

One word that every hypothesis spells differently ("dost", "dust") would hold back all that follows, until the window
is too long for the decoder. So a disputed place of at most two words is passed, in its newest spelling, where at least
four words in a row agree after it (8.05 to 6.89 points, commit latency p95 3.6 to 3.2 s).

A word need not be heard twice where the model is sure of it and the audio continues after it: what is wrong is mostly
unsure, or was cut off by the window's end (commit latency p50 2.04 to 1.57 s, 7.61 to 7.45 points).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rapidfuzz.distance import LCSseq, Levenshtein

from workers.stt.words import Word, match_committed

_LONG_TAIL = 8
_LEAST_KEPT = 0.5
_RESYNC = 4
_DISPUTED = 2


class LocalAgreement:
    """The committed words of a window and the hypothesis that the next one is compared with."""

    def __init__(self, committed: Iterable[Word] = (), tail: Iterable[Word] = ()) -> None:
        self._committed = list(committed)
        self._tail = list(tail)

    @property
    def committed(self) -> Sequence[Word]:
        """Words of this window that are final, in order."""
        return self._committed

    @property
    def tail(self) -> Sequence[Word]:
        """Words of the last hypothesis that are not final."""
        return self._tail

    def preview(self, hypothesis: Sequence[Word]) -> Sequence[Word]:
        """The uncommitted words of a hypothesis; changes nothing."""
        return hypothesis[match_committed(self._committed, hypothesis) :]

    def skips(self, hypothesis: Sequence[Word]) -> bool:
        """Whether a hypothesis leaves out much of what the one before it heard after the committed words.

        A decoder that jumps over seconds of speech does so again on the next step, and the two agree.
        """
        if len(self._tail) < _LONG_TAIL:
            return False
        kept = LCSseq.similarity(_keys(self._tail), _keys(self.preview(hypothesis)))
        return kept < _LEAST_KEPT * len(self._tail)

    def agree(self, hypothesis: Sequence[Word], *, sure: float = math.inf, sure_until: int = 0) -> list[Word]:
        """Take a hypothesis; returns the words that it makes final.

        Those behind the agreed ones are final too as long as their probability is at least `sure` and they end before
        `sure_until`, a sample on the media clock.
        """
        fresh = list(self.preview(hypothesis))
        count = _agreed(_keys(self._tail), _keys(fresh))
        while count < len(fresh) and fresh[count].probability >= sure and fresh[count].end <= sure_until:
            count += 1
        self._committed += fresh[:count]
        self._tail = fresh[count:]
        return fresh[:count]

    def finish(self, hypothesis: Sequence[Word] | None) -> list[Word]:
        """Make the rest of a closing hypothesis final and forget the window; None: that of the last step."""
        fresh = list(self._tail if hypothesis is None else self.preview(hypothesis))
        self._committed.clear()
        self._tail.clear()
        return fresh

    def trim(self, count: int) -> None:
        """Forget the first `count` committed words: the window now begins after them."""
        if not 0 <= count <= len(self._committed):
            raise ValueError("only committed words can be trimmed")
        del self._committed[:count]


def _keys(words: Sequence[Word]) -> list[str]:
    return [word.key for word in words]


def _agreed(before: Sequence[str], now: Sequence[str]) -> int:
    """How many words of the newer hypothesis are agreed on."""
    count = 0
    disputed = False
    for block in Levenshtein.opcodes(before, now):
        if block.tag != "equal":
            disputed = True
            if max(block.src_end - block.src_start, block.dest_end - block.dest_start) > _DISPUTED:
                break
        elif not disputed or block.dest_end - block.dest_start >= _RESYNC:
            count, disputed = block.dest_end, False
    return count
