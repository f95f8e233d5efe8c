"""A word of which the model is not sure, with audio enough behind it, is heard again before a whole step has passed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from tests.unit.workers.stt.toys import WORD, hear_voice, speak, text_of, transcribe
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import SAMPLE_RATE, Tuning
from workers.stt.words import join_words

EFFORT = Effort(1.5, 5, extra_interims=False)
OPTIONS = StreamOptions("en", interims=False)
SPEECH = speak(*range(1, 16))


def doubting(request: DecodeRequest, doubted: int) -> Hypothesis:
    """A model that is sure of every word but one."""
    heard = transcribe(request)
    words = (replace(word, probability=0.3 if word.text == f" {text_of([doubted])}" else 0.9) for word in heard.words)
    return replace(heard, words=tuple(words))


def step_ends(heard: Recognizer, doubted: int, count: int) -> list[float]:
    """Where the next steps end, seconds."""
    found = []
    while len(found) < count and (job := heard.advance(EFFORT)) is not None:
        found.append(job.end / SAMPLE_RATE)
        heard.apply(job, doubting(job.request, doubted))
    return found


def listening() -> Recognizer:
    heard = Recognizer(hear_voice, Tuning(), OPTIONS)
    heard.append_samples(SPEECH)
    return heard


def test_the_next_step_comes_sooner_once() -> None:
    assert step_ends(listening(), 1, 3) == pytest.approx([1.5, 2.55, 4.05], abs=0.07)


def test_a_word_with_little_audio_behind_it_brings_no_step_forward() -> None:
    assert step_ends(listening(), 3, 3) == pytest.approx([1.5, 3.0, 4.5], abs=0.1)


def test_words_behind_it_are_final_sooner_and_none_is_lost() -> None:
    heard = listening()
    heard.end()
    said: list[str] = []
    at: dict[str, int] = {}
    while (job := heard.advance(EFFORT)) is not None:
        heard.apply(job, doubting(job.request, 1))
        for event in heard.pop_events():
            if isinstance(event, events.Final):
                said.append(join_words(event.words))
                at |= {join_words([word]): job.end for word in event.words}
    assert " ".join(said) == text_of(range(1, 16))
    assert at[text_of([2])] - 2 * WORD < 2 * SAMPLE_RATE


def test_another_worker_makes_the_same_steps() -> None:
    first, second = listening(), listening()
    before = step_ends(first, 1, 1)
    saved = msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot()), type=RecognizerState)
    moved = Recognizer(hear_voice, Tuning(), OPTIONS, saved)
    moved.append_samples(SPEECH[saved.replay_from :])
    assert before + step_ends(moved, 1, 2) == step_ends(second, 1, 3)
