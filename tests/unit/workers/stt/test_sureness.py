"""Which words are final when they are first heard."""

from __future__ import annotations

import numpy as np
import pytest

from workers.stt.decode_job import DecodeJob, Purpose
from workers.stt.hypothesis import DecodeRequest
from workers.stt.sureness import Sureness
from workers.stt.tuning import SAMPLE_RATE, Tuning, samples
from workers.stt.words import Word

END = 10 * SAMPLE_RATE


def is_sure(probability: float, behind: float, *, silence: bool = False, known_language: bool = True) -> bool:
    """Of a word followed by this many seconds of audio."""
    request = DecodeRequest(np.zeros(END, np.float32), 1_200, 5, "en")
    job = DecodeJob(Purpose.STEP, 0, END, request, 0, ends_in_silence=silence)
    end = END - samples(behind)
    return Sureness(Tuning(), job, known_language=known_language).is_sure(Word(" so", end - 1_000, end, probability))


@pytest.mark.parametrize(
    ("probability", "behind", "sure"),
    [(0.9, 0.3, True), (0.9, 0.2, False), (0.7, 0.5, False), (0.7, 0.8, True), (0.4, 2.0, False)],
)
def test_the_less_sure_a_word_is_the_more_audio_it_needs(probability: float, behind: float, sure: bool) -> None:
    assert is_sure(probability, behind) is sure


@pytest.mark.parametrize(("probability", "sure"), [(0.9, True), (0.7, True), (0.4, False)])
def test_a_word_before_silence_needs_no_audio_behind_it(probability: float, sure: bool) -> None:
    assert is_sure(probability, 0.0, silence=True) is sure


def test_no_word_is_sure_before_the_language_is_known() -> None:
    assert not is_sure(0.99, 2.0, known_language=False)
    assert not is_sure(0.99, 2.0, silence=True, known_language=False)
