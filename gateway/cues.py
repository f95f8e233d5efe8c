"""Joins finals into sentences, and cuts sentences into caption cues. Pure.

A final is sent as soon as its words are certain, so it often has only two or three words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final, NamedTuple

from gateway.protocol.joining import join_finals

CUE_CHARS: Final = 84
"""Two lines of 42 characters."""

CUE_MS: Final = 7_000
PAUSE_MS: Final = 1_200
"""Silence after which a new line begins, even if the sentence has not ended."""

LENT_MS: Final = 1_000
"""What a cue without a duration gets at most: Whisper gives some words none, and no player would show them."""

_SENTENCE_ENDS: Final = (".", "!", "?", "…", "。", "！", "？")


class Piece(NamedTuple):
    """A text and its times, ms on the transcript's clock."""

    start_ms: int
    end_ms: int
    text: str
    language: str


def sentences(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Join pieces until a sentence ends or a pause comes."""
    return (_join(group) for group in _groups(pieces, captions=False))


def cues(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The same, each at most CUE_CHARS and CUE_MS long; a single piece that is longer stays in one cue."""
    return (_join(group) for group in _groups(pieces, captions=True))


def in_order(unordered: Iterable[Piece]) -> list[Piece]:
    """Cues by their start, each with its end behind it: WebVTT requires both, and players of SubRip rely on it."""
    ordered = sorted(unordered, key=lambda cue: cue.start_ms)
    shown = []
    for cue, following in zip_longest(ordered, ordered[1:]):
        limit = LENT_MS if following is None else following.start_ms - cue.start_ms
        lent = max(1, min(limit, LENT_MS)) if cue.end_ms <= cue.start_ms else 0
        shown.append(cue._replace(end_ms=cue.start_ms + lent) if lent else cue)
    return shown


def _groups(pieces: Iterable[Piece], *, captions: bool) -> Iterator[list[Piece]]:
    group: list[Piece] = []
    for piece in pieces:
        if not piece.text.strip():
            continue
        if group and (_line_ends_between(group[-1], piece) or (captions and _too_long([*group, piece]))):
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _line_ends_between(before: Piece, after: Piece) -> bool:
    """Whether a line ends between two pieces; a piece that starts earlier belongs to another stream."""
    gap = after.start_ms - before.end_ms
    ended = before.text.rstrip().endswith(_SENTENCE_ENDS)
    return ended or gap > PAUSE_MS or after.start_ms < before.start_ms


def _too_long(group: Sequence[Piece]) -> bool:
    return len(_join(group).text) > CUE_CHARS or group[-1].end_ms - group[0].start_ms > CUE_MS


def _join(group: Sequence[Piece]) -> Piece:
    text = join_finals((" ".join(piece.text.split()), piece.language) for piece in group)
    return Piece(group[0].start_ms, group[-1].end_ms, text, group[-1].language)
