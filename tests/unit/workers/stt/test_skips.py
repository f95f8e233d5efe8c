"""A hypothesis that leaves out much of the one before is doubted, but not forever: the earlier one may be wrong."""

from __future__ import annotations

import numpy as np

from tests.unit.workers.stt.toys import hear_voice, text_of, word
from workers.stt import state
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.hypothesis import Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.tuning import FRAME, Tuning
from workers.stt.words import Word, join_words

EFFORT = Effort(1.5, 5, extra_interims=False)
LOOPED = [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]


def hypothesis(numbers: list[int]) -> Hypothesis:
    words = tuple(Word(" " + word(number), 1_000 * i, 1_000 * (i + 1), 0.3) for i, number in enumerate(numbers))
    return Hypothesis(words, -0.1, 0.0, False, "en")


def after(rounds: list[list[int]]) -> Recognizer:
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en"))
    heard.append_samples(np.full(20 * 16_000 // FRAME * FRAME, 0.5, np.float32))
    for numbers in rounds:
        job = heard.advance(EFFORT)
        assert job is not None
        heard.apply(job, hypothesis(numbers))
    return heard


def tail(heard: Recognizer) -> str:
    return join_words(Word(*entry) for entry in heard.snapshot().tail)


def test_two_are_put_aside_and_the_third_is_believed() -> None:
    assert tail(after([LOOPED, [7, 8], [7, 8, 9]])) == text_of(LOOPED)
    heard = after([LOOPED, [7, 8], [7, 8, 9], [7, 8, 9]])
    assert tail(heard) == text_of([7, 8, 9])
    assert heard.counters.rejected == 2


def test_the_count_is_carried_to_another_worker() -> None:
    saved = after([LOOPED, [7, 8]]).snapshot()
    assert saved.skips == 1
    assert state.RecognizerState().skips == 0


def test_times_are_compared_on_the_media_clock() -> None:
    """Of "x y" the second word is found where it ended, an hour into the stream as at its beginning."""
    begin = 3_600 * 16_000 // FRAME
    at = begin * FRAME
    saved = state.RecognizerState(
        frame=begin,
        replay_from=at,
        track_first=begin,
        vad_frame=begin,
        speaking=True,
        window_open=True,
        window_start=at,
        last_step=at,
        committed=[(" x", at, at + 1_000, 0.9), (" y", at + 1_000, at + 2_000, 0.9)],
        tail=[(" " + letter, at + 2_000, at + 3_000, 0.3) for letter in "ydefghij"],
    )
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en"), saved)
    heard.append_samples(np.full(2 * 16_000, 0.5, np.float32))
    job = heard.advance(EFFORT)
    assert job is not None
    words = tuple(Word(" " + letter, 1_000 * i, 1_000 * (i + 1), 0.3) for i, letter in enumerate("xcydef"))
    heard.apply(job, Hypothesis(words, -0.1, 0.0, False, "en"))
    assert heard.counters.rejected == 0
    assert [entry[0] for entry in heard.snapshot().committed] == [" x", " y", " y", " d", " e", " f"]
