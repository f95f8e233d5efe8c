"""LocalAgreement-2: a word is final once two hypotheses in a row, on growing audio, agree on it and all before it.

Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis
Selection" (2020); Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System" (2023).

The decoder is neither forced onto the committed words nor prompted with them (forced prefix: +0.41 points; prompt
tail: 8.44 against 6.94). It decodes the whole window freely; the words committed before are found in the new
hypothesis by edit distance, and what follows them is new. Invariant: committed words never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workers.stt.words import Word, match_committed

_LONG_TAIL = 8
_LEAST_KEPT = 0.6


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
        """The uncommitted words of a hypothesis; nothing is remembered of it."""
        return hypothesis[match_committed(self._committed, hypothesis) :]

    def skips(self, hypothesis: Sequence[Word]) -> bool:
        """Whether a hypothesis leaves out much of what the one before it heard after the committed words.

        A decoder that jumps over seconds of speech does so again on the next step, and the two agree.
        """
        return len(self._tail) >= _LONG_TAIL and len(self.preview(hypothesis)) < _LEAST_KEPT * len(self._tail)

    def agree(self, hypothesis: Sequence[Word]) -> list[Word]:
        """Take a hypothesis; returns the words that it makes final."""
        fresh = list(self.preview(hypothesis))
        count = 0
        for before, now in zip(self._tail, fresh, strict=False):
            if before.key != now.key:
                break
            count += 1
        self._committed += fresh[:count]
        self._tail = fresh[count:]
        return fresh[:count]

    def finish(self, hypothesis: Sequence[Word] | None) -> list[Word]:
        """Make the rest of a closing hypothesis final and forget the window; None: the last one is all there is."""
        fresh = list(self._tail if hypothesis is None else self.preview(hypothesis))
        self._committed.clear()
        self._tail.clear()
        return fresh

    def trim(self, count: int) -> None:
        """Forget the first `count` committed words: the window now begins after them."""
        if not 0 <= count <= len(self._committed):
            raise ValueError("only committed words can be trimmed")
        del self._committed[:count]
