"""Where a recording is cut into windows: as much speech as the encoder takes at once, without the long pauses.

Like offline recognition, a window joins stretches of speech, and drops what is silent between them. Every decision
falls on the media alone, so that the windows do not depend on how the bytes arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from workers.stt.hearing import HeardFrame
from workers.stt.tuning import Tuning, samples
from workers.stt.window import VoiceTrack
from workers.stt.words import Word

LONGEST_WINDOW = samples(28.0)
"""Speech of one window; the encoder takes 30 s and needs room behind the audio."""
_LONGEST_SPAN = samples(45.0)
"""From a window's first sample to its last, pauses included: what another worker has to replay."""
_PAUSE_DROPPED = samples(2.0)
"""Silence from which a pause is left out of a window, as offline recognition does."""
_PADDING = samples(0.4)
"""Silence kept on both sides of a stretch of speech."""
_CUT_SEARCH = samples(10.0)
"""How far before the end of a full window the place for the cut is looked for."""


class Piece(NamedTuple):
    """A stretch of audio from `start` to `end`, samples on the media clock."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


class WindowCutter:
    """Collects stretches of speech until a window is full.

    `pieces` are complete; `start` begins the one that grows, None in silence. `voiced_to` is the end of the last voice
    in it, and nothing before `floor` belongs to a later piece.
    """

    def __init__(
        self, tuning: Tuning, pieces: Sequence[Piece] = (), start: int | None = None, voiced_to: int = 0, floor: int = 0
    ) -> None:
        self._tuning = tuning
        self.pieces = list(pieces)
        self.start = start
        self.voiced_to = voiced_to
        self.floor = floor

    @property
    def open(self) -> bool:
        """Whether there is anything to recognise."""
        return bool(self.pieces) or self.start is not None

    def needs_from(self, position: int) -> int:
        """The first sample that this window, or one that begins after `position`, may need."""
        if self.pieces:
            return self.pieces[0].start
        return self.start if self.start is not None else max(self.floor, position - _PADDING)

    def push(self, frame: HeardFrame, track: VoiceTrack) -> tuple[Piece, ...]:
        """Take the next frame; returns the pieces of a window that is full now, else nothing."""
        if self.start is None:
            if frame.voice >= self._tuning.voice_on:
                self.start = max(self.floor, frame.begin - _PADDING)
                self.voiced_to = frame.end
        elif frame.voice >= self._tuning.voice_off:
            self.voiced_to = frame.end
        elif frame.end - self.voiced_to >= _PAUSE_DROPPED:
            self._end_piece(self.voiced_to + _PADDING)
        if not self.open:
            return ()
        growing = 0 if self.start is None else frame.end - self.start
        kept = sum(piece.length for piece in self.pieces) + growing
        span = frame.end - self.needs_from(frame.end)
        return self._cut(frame.end, track) if kept >= LONGEST_WINDOW or span >= _LONGEST_SPAN else ()

    def close(self, position: int) -> tuple[Piece, ...]:
        """End the window at a position where it has to end; returns its pieces, none if it holds nothing."""
        if self.start is not None and position > self.start:
            end = min(position, max(self.voiced_to + _PADDING, self.start))
            self.pieces.append(Piece(self.start, end))
        self.start, self.floor = None, max(self.floor, position)
        return self._take()

    def _end_piece(self, end: int) -> None:
        assert self.start is not None
        self.pieces.append(Piece(self.start, end))
        self.start, self.floor = None, end

    def _cut(self, end: int, track: VoiceTrack) -> tuple[Piece, ...]:
        """Cut a full window at the quietest place near its end; a piece that has just begun moves to the next one."""
        if self.start is None:
            return self._take()
        if self.pieces and end - self.start < _PAUSE_DROPPED:
            return self._take()
        cut = track.pause_in(max(self.start, end - _CUT_SEARCH), end)
        goes_on = self.voiced_to > cut
        self._end_piece(cut)
        if goes_on:
            self.start = cut
        return self._take()

    def _take(self) -> tuple[Piece, ...]:
        taken, self.pieces = tuple(self.pieces), []
        return taken


def place(words: Sequence[Word], pieces: Sequence[Piece]) -> tuple[Word, ...]:
    """Words on the media clock that were heard in these pieces joined; the piece that holds its middle has the word."""
    placed = []
    for word in words:
        middle, before = (word.start + word.end) // 2, 0
        piece = pieces[0]
        for piece in pieces:
            if middle < before + piece.length:
                break
            before += piece.length
        else:
            before -= piece.length
        moved = word.moved(piece.start - before)
        placed.append(_within(moved, piece))
    return tuple(placed)


def split(pieces: Sequence[Piece], at: int) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The pieces before and behind a position on the media clock."""
    before = tuple(Piece(piece.start, min(piece.end, at)) for piece in pieces if piece.start < at)
    behind = tuple(Piece(max(piece.start, at), piece.end) for piece in pieces if piece.end > at)
    return before, behind


def _within(word: Word, piece: Piece) -> Word:
    start = min(max(word.start, piece.start), piece.end)
    return Word(word.text, start, min(max(word.end, start), piece.end), word.probability)
