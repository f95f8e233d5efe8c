"""What the places cost at which a long window is cut: errors near them, against errors elsewhere in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from bench.scoring import normalise
from bench.stt.replay import Played

_NEAR = 2
"""Words on either side of a cut that count as near it."""


@dataclass(slots=True)
class JoinErrors:
    """Streaming's errors that offline does not make. `lost`: reference words that are missing near a cut.

    `near_words` and `near_errors` count words and errors within two words of a cut, `other_words` and `other_errors`
    all others: if a cut costs nothing, both have the same share of errors.
    """

    joins: int = 0
    lost: int = 0
    near_words: int = 0
    near_errors: int = 0
    other_words: int = 0
    other_errors: int = 0

    @property
    def lost_per_join(self) -> float:
        """Words lost per cut; nan without cuts."""
        return self.lost / self.joins if self.joins else float("nan")

    @property
    def excess_per_join(self) -> float:
        """Errors per cut beyond those that as many words elsewhere have, at least 0; nan without cuts."""
        if not self.joins or not self.other_words:
            return float("nan")
        expected = self.near_words * self.other_errors / self.other_words
        return max(0.0, self.near_errors - expected) / self.joins

    def figures(self) -> dict[str, float]:
        """The counts, and the share of errors near cuts and elsewhere in percent."""
        return {
            "joins": self.joins,
            "words_lost": self.lost,
            "errors_near": self.near_errors,
            "errors_near_percent": 100 * self.near_errors / max(1, self.near_words),
            "errors_elsewhere_percent": 100 * self.other_errors / max(1, self.other_words),
        }


def join_errors(played: Sequence[Played], texts: Sequence[str]) -> JoinErrors:
    """Count over all runs; `texts` are offline's transcripts of the same clips."""
    found = JoinErrors()
    for run, text in zip(played, texts, strict=True):
        language = run.clip.language
        wanted = normalise(run.clip.text, language)
        spelt = [normalise(word.text, language) for word in run.words]
        heard = [token for tokens in spelt for token in tokens]
        places = [sum(map(len, spelt[:place])) for place in run.joins if 0 < place < len(spelt)]
        near = {index for place in places for index in range(place - _NEAR, place + _NEAR + 1)}
        theirs = {edit.src_pos for edit in Levenshtein.editops(wanted, normalise(text, language))}
        found.joins += len(places)
        near_words = sum(index in near for index in range(len(heard)))
        found.near_words += near_words
        found.other_words += len(heard) - near_words
        for edit in Levenshtein.editops(wanted, heard):
            if edit.src_pos in theirs:
                continue
            if edit.dest_pos in near:
                found.near_errors += 1
                found.lost += edit.tag == "delete"
            else:
                found.other_errors += 1
    return found
