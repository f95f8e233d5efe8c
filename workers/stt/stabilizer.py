"""LocalAgreement-2: a word is final once two hypotheses in a row, on growing audio, agree on it and all before it.

Liu, Spanakis and Niehues, "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by Partial Hypothesis
Selection" (2020); Macháček, Dabre and Bojar, "Turning Whisper into Real-Time Transcription System" (2023).

The decoder is neither forced onto the committed words nor prompted with them (forced prefix: +0.41 points; prompt
tail: 8.44 against 6.94). It decodes the whole window freely; the words committed before are found in the new
hypothesis by edit distance, and what follows them is new. Invariant: committed words never change.

One word that every hypothesis spells differently ("dost", "dust") would hold back all that follows, until the window
is too long for the decoder. So a disputed place of at most two words is passed, in its newest spelling, where at least
four words in a row agree after it (8.05 to 6.89 points, commit latency p95 3.6 to 3.2 s).

A word need not be heard twice where the model is sure of it and the audio continues after it: see
`workers.stt.sureness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rapidfuzz.distance import LCSseq, Levenshtein

from workers.stt.words import Word, behind_first_part, match_committed

_LONG_TAIL = 8
_LEAST_KEPT = 0.5
_RESYNC = 4
_DISPUTED = 2


def _never(_: Word) -> bool:
    return False


class LocalAgreement:
    """The committed words of a window and the hypothesis that the next one is compared with.

    `cut_off`: the first committed word was heard when its audio stopped in the midst of it; heard whole it may be
    another word.
    """

    def __init__(self, committed: Iterable[Word] = (), tail: Iterable[Word] = (), *, cut_off: bool = False) -> None:
        self._committed = list(committed)
        self._tail = list(tail)
        self._cut_off = cut_off and bool(self._committed)

    @property
    def committed(self) -> Sequence[Word]:
        """Words of this window that are final, in order."""
        return self._committed

    @property
    def tail(self) -> Sequence[Word]:
        """Words of the last hypothesis that are not final."""
        return self._tail

    @property
    def waiting(self) -> int | None:
        """End of the first word of the last hypothesis that is not final, samples; None: all are."""
        return self._tail[0].end if self._tail else None

    @property
    def cut_off(self) -> bool:
        """Whether the first committed word was cut off."""
        return self._cut_off

    def preview(self, hypothesis: Sequence[Word]) -> Sequence[Word]:
        """The uncommitted words of a hypothesis; changes nothing.

        Where the last committed word returns as the first part of a compound, the rest of it is uncommitted.
        """
        count = match_committed(self._committed, hypothesis)
        if count == 0 and self._cut_off and len(self._committed) == 1:
            count = int(_begins_before_middle(hypothesis[:1], self._committed[0]))
        rest = behind_first_part(self._committed[-1], hypothesis[count - 1]) if self._committed and count else None
        return hypothesis[count:] if rest is None else [rest, *hypothesis[count:]]

    def skips(self, hypothesis: Sequence[Word]) -> bool:
        """Whether a hypothesis leaves out much of what the one before it heard after the committed words.

        A decoder that jumps over seconds of speech does so again on the next step, and the two agree.
        """
        if len(self._tail) < _LONG_TAIL:
            return False
        kept = LCSseq.similarity(_keys(self._tail), _keys(self.preview(hypothesis)))
        return kept < _LEAST_KEPT * len(self._tail)

    def agree(self, hypothesis: Sequence[Word], is_sure: Callable[[Word], bool] = _never) -> list[Word]:
        """Take a hypothesis; returns the words that it makes final: the agreed ones, and the sure ones behind them.

        The first word that is not sure holds back those behind it.
        """
        fresh = list(self.preview(hypothesis))
        count = _agreed(_keys(self._tail), _keys(fresh))
        while count < len(fresh) and is_sure(fresh[count]):
            count += 1
        self._committed += fresh[:count]
        self._tail = fresh[count:]
        return fresh[:count]

    def trim(self, count: int) -> None:
        """Forget the first `count` committed words: the window now begins after them."""
        if not 0 <= count <= len(self._committed):
            raise ValueError("only committed words can be trimmed")
        del self._committed[:count]
        self._cut_off = self._cut_off and count == 0


def _begins_before_middle(first: Sequence[Word], known: Word) -> bool:
    """Whether a hypothesis has a word, its `first`, where a known one was heard."""
    return any(2 * word.start < known.start + known.end for word in first)


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
