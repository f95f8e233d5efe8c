"""What a stream asks of the model and what it gets back: plain values that cross the scheduler."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.stt.language import ANY_LANGUAGE, LanguageQuestion
from workers.stt.tuning import SAMPLE_RATE
from workers.stt.words import Word

_SHORTEST_TEXT = 40
_LOOP_RATIO = 2.4
_TOKENS_PER_SECOND = 10
_TOKENS_FREE = 12
_LIMIT_PER_SECOND = 8
_LIMIT_FREE = 24
_SHORTEST_LIMIT_SECONDS = 8
"""Of audio: with less, windows of live streams have the same encoder input, and so share batches."""
_LONG_SECONDS, _LONGEST_SECONDS = 20, 30
"""More than the former is a window of a recording; all of these share batches."""


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """One window to transcribe.

    `audio`: 16 kHz mono float32, at most `encoder_frames` of 10 ms. `language`: ISO 639-1, or None to detect it as
    `question` says.
    `prompt`: tokens before the transcript (hotwords, initial prompt). `align`: whether word times and probabilities
    are wanted, as by all hypotheses but interims.
    """

    audio: NDArray[np.float32]
    encoder_frames: int
    beam: int
    language: str | None
    prompt: tuple[int, ...] = ()
    align: bool = True
    question: LanguageQuestion = ANY_LANGUAGE

    @property
    def longest_text(self) -> int:
        """Tokens after which the decoder stops: more than anyone says in this time.

        For an interim, one more than are of use: a loop of 88 tokens in 0.7 s of audio took 0.46 s (AVX-512 VNNI), one
        of 23 takes 0.2 at most. Hypotheses that commit keep the longer limit, which windows of up to 8 s share.
        """
        seconds = math.ceil(len(self.audio) / SAMPLE_RATE)
        of_use = seconds * _TOKENS_PER_SECOND + _TOKENS_FREE
        seconds = max(_SHORTEST_LIMIT_SECONDS, seconds if seconds <= _LONG_SECONDS else _LONGEST_SECONDS)
        limit = seconds * _LIMIT_PER_SECOND + _LIMIT_FREE
        return limit if self.align else min(limit, of_use + 1)

    @property
    def batch_key(self) -> tuple[int, int, int, int]:
        """Requests with the same key can share a batch with bit-identical results.

        A batch stops at one length of text. Were that the longest of its requests', a text that loops would depend on
        the company it is in.
        """
        return self.encoder_frames, self.beam, len(self.prompt), self.longest_text


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the model makes of a window.

    `score` is the mean log probability of a token, `no_speech` the model's probability that nobody speaks;
    `rejected`: not fit to be used (see `is_unusable`). `tokens`: how many the model wrote, rejected or not.
    """

    words: tuple[Word, ...]
    score: float
    no_speech: float
    rejected: bool
    language: str
    language_probability: float = 1.0
    tokens: int = 0


def is_unusable(text: str, tokens: int, seconds: float, score: float, no_speech: float) -> bool:
    """Whether a hypothesis loops, is longer than anyone speaks, or comes from silence.

    Compression ratio and no-speech rule after Whisper's own; a temperature fallback was measured to gain nothing.
    """
    data = text.encode()
    loops = len(data) > _SHORTEST_TEXT and len(data) / len(zlib.compress(data)) > _LOOP_RATIO
    too_long = tokens > seconds * _TOKENS_PER_SECOND + _TOKENS_FREE
    silence = no_speech > 0.6 and score < -1
    return loops or too_long or silence
