"""A stream cut at any report continues from its state word for word: text, times, language.

The model of these tests is as unsteady as a real one: it is never sure of some words, hears others differently from
step to step, and guesses the language until the stream has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workers.stt.toys import WORD, Floats, hear_voice, speak, transcribe, word
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import Tuning
from workers.stt.words import Word

EFFORT = Effort(1.5, 5, extra_interims=False)
OPTIONS = StreamOptions(interims=False)
UNSURE = {word(number) for number in range(3, 60, 3)}
UNSTEADY = {word(number) for number in range(5, 60, 5)}


def unsteadily(request: DecodeRequest) -> Hypothesis:
    heard = transcribe(request)
    length = len(request.audio)
    language = request.language or ("fr" if length < 2 * 16_000 else "en")
    return replace(heard, words=tuple(_doubted(one, length) for one in heard.words), language=language)


def _doubted(one: Word, length: int) -> Word:
    if one.text.strip() in UNSTEADY:
        return replace(one, text=f"{one.text}x{length % 3}", probability=0.3)
    return replace(one, probability=0.6) if one.text.strip() in UNSURE else one


def events_of(
    audio: Floats, flush_at: int, saved: RecognizerState | None = None, *, flushed: bool = False
) -> list[events.Event]:
    """The events of a stream that is flushed at a sample, on a worker that begins it or continues it."""
    heard = Recognizer(hear_voice, Tuning(), OPTIONS, saved)
    begin = saved.replay_from if saved else 0
    heard.append_samples(audio[begin : max(begin, flush_at)])
    if not flushed:
        heard.flush(1)
    heard.append_samples(audio[max(begin, flush_at) :])
    heard.end()
    while (job := heard.advance(EFFORT)) is not None:
        heard.apply(job, unsteadily(job.request))
    return heard.pop_events()


def finals(said: Sequence[events.Event]) -> list[events.Final]:
    return [event for event in said if isinstance(event, events.Final)]


numbers = st.lists(
    st.tuples(st.integers(1, 14), st.integers(0, 4)), min_size=1, max_size=5
)  # words of a stretch of speech, then words' lengths of silence


@settings(max_examples=20, deadline=None)
@given(stretches=numbers, flush_at=st.integers(0, 40 * WORD))
def test_a_stream_cut_at_any_report_continues_word_for_word(stretches: list[tuple[int, int]], flush_at: int) -> None:
    said: list[int] = []
    for spoken, silent in stretches:
        said += [*range(len(said) + 1, len(said) + spoken + 1), *[0] * silent]
    audio = speak(*said)
    flush_at = min(flush_at, len(audio))
    whole = events_of(audio, flush_at)
    for index, event in enumerate(whole):
        if not isinstance(event, events.Committed):
            continue
        saved = msgspec.msgpack.decode(msgspec.msgpack.encode(event.state), type=RecognizerState)
        flushed = any(isinstance(earlier, events.Flushed) for earlier in whole[:index])
        rest = events_of(audio, flush_at, saved, flushed=flushed)
        assert finals(whole[:index]) + finals(rest) == finals(whole)


def test_words_wait_for_the_language_however_sure_the_model_is() -> None:
    """Until 2 s were spoken the language is a guess; the first step's words are final with the second."""
    said = finals(events_of(speak(*[1, 2] * 6), 12 * WORD))
    assert {final.language for final in said} == {"en"}
