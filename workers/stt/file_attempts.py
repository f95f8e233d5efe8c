"""The attempts at one window of a recording, until a text is fit to be used.

The rules are those of offline recognition: a text that repeats itself (compression ratio above 2.4) or that the model
itself doubts (mean log probability under -1) is tried again, and a window in which the model hears nobody is empty.
Offline recognition tries again with random sampling. Here nothing is random, since another worker has to find the same
words: the second attempt goes without hints, the third hears both halves by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from workers.stt.decode_job import Counters
from workers.stt.file_windows import Piece, place, split
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.language import LanguageChoice
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.unspoken import cut_unspoken
from workers.stt.window import Samples, VoiceTrack, encoder_frames
from workers.stt.words import Word

_DOUBTED_SCORE = -1.0
_NO_SPEECH = 0.6
_SHORTEST_HALVED = samples(4.0)
_UNHEARD = samples(1.5)
"""Voice behind the last word from which the rest of the audio is decoded by itself.

A decoder may end its text long before the voice ends; offline recognition goes on from its last word, too.
"""
_SHORTEST_STEP = samples(1.0)


@dataclass(frozen=True, slots=True, eq=False)
class RecordedWindow:
    """The audio of a window: its pieces joined, and the voice in the stretch they come from."""

    pieces: tuple[Piece, ...]
    audio: Samples
    track: VoiceTrack

    def part(self, pieces: Sequence[Piece]) -> RecordedWindow:
        """Some of the audio; each of the pieces lies in one of the window's own."""
        heard = [self._slice(piece) for piece in pieces]
        return RecordedWindow(tuple(pieces), np.concatenate(heard), self.track)

    def voiced_after(self, position: int, threshold: float) -> int:
        """Samples of voice behind a position on the media clock."""
        _, behind = split(self.pieces, position)
        return sum(_voiced(self.track, piece, threshold) for piece in behind)

    def _slice(self, piece: Piece) -> Samples:
        before = 0
        for own in self.pieces:
            if own.start <= piece.start and piece.end <= own.end:
                first = before + piece.start - own.start
                return self.audio[first : first + piece.length]
            before += own.length
        raise ValueError("this piece is not in the window")


@dataclass(slots=True, eq=False)
class _Part:
    """Audio still to be decoded. `best` is what the model doubted so far."""

    window: RecordedWindow
    prompt: tuple[int, ...]
    best: Hypothesis | None = field(default=None)


class WindowAttempts:
    """Decodes one window: ask for `request`, give its hypothesis to `apply`, until `request` is None.

    `hints`: the prompt of the first attempt at any audio.
    """

    def __init__(
        self,
        window: RecordedWindow,
        tuning: Tuning,
        language: LanguageChoice,
        hints: tuple[int, ...],
        counters: Counters,
    ) -> None:
        self.words: list[Word] = []
        self.language = language.current
        self._question = language.question(window.voiced_after(0, tuning.voice_on))
        self._tuning = tuning
        self._hints = hints
        self._counters = counters
        self._parts = deque([_Part(window, hints)])

    @property
    def request(self) -> DecodeRequest | None:
        """What to decode next; None: the words are complete."""
        if not self._parts:
            return None
        part = self._parts[0]
        return DecodeRequest(
            audio=part.window.audio,
            encoder_frames=encoder_frames(len(part.window.audio), self._tuning),
            beam=self._tuning.beam,
            language=self.language,
            prompt=part.prompt,
            question=self._question,
        )

    def apply(self, hypothesis: Hypothesis) -> None:
        """Take the hypothesis of the request."""
        part = self._parts.popleft()
        if hypothesis.no_speech > _NO_SPEECH and hypothesis.score < _DOUBTED_SCORE:
            self._finish_without_words(part)
            return
        if not hypothesis.rejected and hypothesis.score >= _DOUBTED_SCORE:
            self._take(part, hypothesis)
            return
        self._counters.rejected += 1
        if not hypothesis.rejected and (part.best is None or hypothesis.score > part.best.score):
            part.best = hypothesis
        if part.prompt:
            part.prompt = ()
            self._parts.appendleft(part)
        elif part.best is not None:
            self._take(part, part.best)
        elif len(part.window.audio) >= _SHORTEST_HALVED:
            self._halve(part)
        else:
            self._finish_without_words(part)

    def _take(self, part: _Part, hypothesis: Hypothesis) -> None:
        window = part.window
        placed = place(hypothesis.words, window.pieces)
        words = cut_unspoken(placed, window.track, self._tuning.voice_off)
        self._counters.unspoken_words += len(placed) - len(words)
        self.language = self.language or hypothesis.language
        self.words += words
        heard_to = words[-1].end if words else window.pieces[0].start
        unheard = window.voiced_after(heard_to, self._tuning.voice_on)
        advanced = len(window.audio) - sum(piece.length for piece in split(window.pieces, heard_to)[1])
        if words and unheard >= _UNHEARD and advanced >= _SHORTEST_STEP:
            self._counters.rests += 1
            rest = window.part(split(window.pieces, heard_to)[1])
            self._parts.appendleft(_Part(rest, self._hints))
        elif not words:
            self._finish_without_words(part)

    def _halve(self, part: _Part) -> None:
        window = part.window
        middle = window.track.pause_in(*_middle_third(window.pieces))
        halves = [pieces for pieces in split(window.pieces, middle) if pieces]
        if len(halves) < 2:
            self._finish_without_words(part)
            return
        self._counters.cuts += 1
        self._parts.extendleft(_Part(window.part(pieces), self._hints) for pieces in reversed(halves))

    def _finish_without_words(self, part: _Part) -> None:
        spoken = part.window.voiced_after(part.window.pieces[0].start, self._tuning.voice_on)
        self._counters.empty_segments += spoken >= samples(self._tuning.real_speech)


def _middle_third(pieces: Sequence[Piece]) -> tuple[int, int]:
    """The middle third of the longest piece, where a cut does the least harm to the others."""
    longest = max(pieces, key=lambda piece: piece.length)
    third = longest.length // 3
    return longest.start + third, longest.end - third


def _voiced(track: VoiceTrack, piece: Piece, threshold: float) -> int:
    """Samples of voice in the whole frames of a piece."""
    voices = track.between(-(-piece.start // FRAME), piece.end // FRAME)
    return int((voices >= threshold).sum()) * FRAME
