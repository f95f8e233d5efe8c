"""A step in the silence after speech has heard everything: the segment closes with it, at no further cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from tests.unit.workers.stt.toys import hear_voice, speak, text_of, transcribe
from workers.stt import events
from workers.stt.decode_job import DecodeJob, Effort, Purpose, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import SAMPLE_RATE, Tuning
from workers.stt.words import join_words

EFFORT = Effort(1.5, 5, extra_interims=True)
OPTIONS = StreamOptions("en", interims=False)


def played(
    *numbers: int,
    run: Callable[[DecodeRequest], Hypothesis] = transcribe,
    state: RecognizerState | None = None,
    options: StreamOptions = OPTIONS,
) -> tuple[Recognizer, list[DecodeJob], str]:
    """Recognise words and silence (0), 0.4 s a number; returns the jobs asked for, and the final text."""
    heard = Recognizer(hear_voice, Tuning(), options, state)
    heard.append_samples(speak(*numbers))
    jobs, text = [], []
    while (job := heard.advance(EFFORT)) is not None:
        jobs.append(job)
        heard.apply(job, run(job.request))
        text += [event for event in heard.pop_events() if isinstance(event, events.Final)]
    text += [event for event in heard.pop_events() if isinstance(event, events.Final)]
    return heard, jobs, " ".join(join_words(final.words) for final in text)


def test_a_step_in_the_silence_is_the_last_hypothesis() -> None:
    heard, jobs, text = played(1, 2, 3, 0, 0, 0, 0)
    assert [job.purpose for job in jobs] == [Purpose.STEP]
    assert jobs[0].ends_in_silence
    assert (heard.counters.closed_by_step, heard.counters.closings) == (1, 0)
    assert text == text_of([1, 2, 3])


@pytest.mark.parametrize("count", range(1, 9))
def test_a_step_falls_into_every_pause_so_that_no_segment_is_heard_once_more_at_its_end(count: int) -> None:
    said = range(1, count + 1)
    heard, jobs, text = played(*said, 0, 0, 0, 0)
    assert text == text_of(said)
    assert {job.purpose for job in jobs} == {Purpose.STEP}
    assert [job.ends_in_silence for job in jobs].count(True) == 1
    assert (heard.counters.closed_by_step, heard.counters.closings) == (1, 0)


def test_words_before_a_pause_are_final_before_the_silence_ends_the_segment() -> None:
    heard, jobs, text = played(1, 2, 0, run=unsure)
    assert [job.purpose for job in jobs] == [Purpose.STEP]
    assert text == text_of([1, 2])
    assert heard.listening


def unsure(request: DecodeRequest) -> Hypothesis:
    """A model that is not quite sure of any word."""
    heard = transcribe(request)
    return replace(heard, words=tuple(replace(word, probability=0.7) for word in heard.words))


def test_a_segment_that_ends_before_the_step_in_its_pause_is_heard_once_more() -> None:
    heard, jobs, text = played(1, 2, 3, 0, 0, options=StreamOptions("en", interims=False, endpointing=3_200))
    assert [job.purpose for job in jobs] == [Purpose.SEGMENT_END]
    assert text == text_of([1, 2, 3])
    assert (heard.counters.closed_by_step, heard.counters.closings) == (0, 1)


def test_a_voice_after_the_step_unsettles_it() -> None:
    heard, jobs, text = played(1, 2, 3, 0, 5, 0, 0, 0)
    assert [job.purpose for job in jobs] == [Purpose.STEP, Purpose.STEP]
    assert all(job.ends_in_silence for job in jobs)
    assert text == text_of([1, 2, 3, 5])
    assert heard.counters.closed_by_step == 1


SETTLED_VOICE = speak(1, 2, 3, 0, 0, 0, 0)


def settled_state() -> RecognizerState:
    """A stream after a step in the silence, before the silence ends the segment."""
    first = Recognizer(hear_voice, Tuning(), StreamOptions("en", interims=False))
    first.append_samples(SETTLED_VOICE[: int(1.9 * SAMPLE_RATE)])
    job = first.advance(EFFORT)
    assert job is not None
    first.apply(job, transcribe(job.request))
    assert first.advance(EFFORT) is None
    return first.snapshot()


def taken_over(wire: bytes) -> Recognizer:
    """A second worker with the encoded state of a first one, whose last step heard everything, and the rest."""
    saved = msgspec.msgpack.decode(wire, type=RecognizerState)
    second = Recognizer(hear_voice, Tuning(), StreamOptions("en", interims=False), saved)
    second.append_samples(SETTLED_VOICE[saved.replay_from :])
    return second


def test_another_worker_knows_that_the_segment_is_settled() -> None:
    wire = msgspec.msgpack.encode(settled_state())
    second = taken_over(wire)
    assert second.advance(EFFORT) is None
    assert second.counters.closed_by_step == 1


def test_states_are_encoded_alike_in_every_release() -> None:
    """The language of a hypothesis that heard everything is called `settled` on the wire."""
    wire = msgspec.msgpack.encode(settled_state())
    fields = msgspec.msgpack.decode(wire)
    assert fields["settled"] == "en"
    assert not {"heard_all", "heard_language", "heard_all_language"} & fields.keys()
    old = msgspec.msgpack.encode({"frame": 5, "settled": "en"})
    assert msgspec.msgpack.decode(old, type=RecognizerState) == RecognizerState(frame=5, heard_all_language="en")
    unsettled = taken_over(msgspec.msgpack.encode({**fields, "settled": ""}))
    job = unsettled.advance(EFFORT)
    assert job is not None
    assert job.purpose is Purpose.SEGMENT_END


def test_a_hypothesis_without_a_language_settles_nothing() -> None:
    """A second worker could not know it: the language is what says so on the wire."""
    heard, jobs, text = played(1, 2, 3, 0, 0, 0, 0, run=lambda request: replace(transcribe(request), language=""))
    assert [job.purpose for job in jobs] == [Purpose.STEP, Purpose.SEGMENT_END]
    assert heard.counters.closed_by_step == 0
    assert text == text_of([1, 2, 3])


def early(request: DecodeRequest) -> Hypothesis:
    """A model that lets each word end 0.3 s too soon, as alignments do before a pause."""
    heard = transcribe(request)
    return replace(heard, words=tuple(replace(word, end=max(word.start, word.end - 4_800)) for word in heard.words))


def test_the_rest_of_a_window_cut_at_its_last_step_is_not_heard_again() -> None:
    """All 33 words are final at the step in the silence, which cuts the window before the last two of them."""
    heard, jobs, text = played(*range(1, 34), 0, 0, 0, 0, run=early)
    assert heard.counters.trims == 1
    assert {job.purpose for job in jobs} == {Purpose.STEP}
    assert text == text_of(range(1, 34))


def test_silence_is_not_believed_in_a_noisy_place() -> None:
    """The voice detector misses words there: the last hypothesis hears the audio up to the segment's end."""
    noisy = RecognizerState(noise=(-6.0, 60, -12.0, 60))
    _, jobs, text = played(1, 2, 3, 0, 0, 0, 0, 0, 0, state=noisy)
    assert [job.purpose for job in jobs] == [Purpose.STEP, Purpose.SEGMENT_END]
    assert not jobs[0].ends_in_silence
    assert text == text_of([1, 2, 3])
