"""A window that closes with speech behind its last word is decoded again: at full length, then the rest by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tests.unit.workers.stt.toys import WORD, hear_voice, speak, text_of, transcribe
from workers.stt import events
from workers.stt.decode_job import Attempt, DecodeJob, Effort, StreamOptions
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import Tuning
from workers.stt.words import join_words

EFFORT = Effort(1.5, 5, extra_interims=False)
SAID = [1, 2, 3, 4, 5, 6]
AUDIO = speak(*SAID, 0, 0, 0)


def played(
    run: Callable[[DecodeRequest], Hypothesis], saved: RecognizerState | None = None
) -> tuple[Recognizer, list[DecodeJob], list[events.Event]]:
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en", interims=False), saved)
    heard.append_samples(AUDIO[saved.replay_from if saved else 0 :])
    heard.end()
    jobs, said = [], []
    while (job := heard.advance(EFFORT)) is not None:
        jobs.append(job)
        heard.apply(job, run(job.request))
        said += heard.pop_events()
    return heard, jobs, said + heard.pop_events()


def text(said: list[events.Event]) -> str:
    return " ".join(join_words(event.words) for event in said if isinstance(event, events.Final))


def closing(jobs: list[DecodeJob]) -> list[Attempt]:
    return [job.attempt for job in jobs if job.closing]


def stops_early(request: DecodeRequest) -> Hypothesis:
    """At its usual length the decoder ends its text after three words of six or more."""
    heard = transcribe(request)
    if request.encoder_frames == 3_000 or len(request.audio) < 5.5 * WORD:
        return heard
    return replace(heard, words=heard.words[:3])


def stops_always(request: DecodeRequest) -> Hypothesis:
    """A decoder that says no more than three words of a window, at any length."""
    heard = transcribe(request)
    return replace(heard, words=heard.words[:3])


def test_words_that_the_decoder_left_out_are_found_at_full_length() -> None:
    heard, jobs, said = played(stops_early)
    assert text(said) == text_of(SAID)
    assert closing(jobs) == [Attempt.WINDOW, Attempt.FULL_LENGTH]
    assert (heard.counters.unheard_retries, heard.counters.rests) == (1, 0)


def test_words_that_are_left_out_again_are_found_in_the_rest() -> None:
    heard, jobs, said = played(stops_always)
    assert text(said) == text_of(SAID)
    assert closing(jobs) == [Attempt.WINDOW, Attempt.FULL_LENGTH, Attempt.REST]
    assert abs(jobs[-1].start - 3 * WORD) < 3_200
    assert (heard.counters.unheard_retries, heard.counters.rests) == (1, 1)


def test_a_window_that_was_heard_to_its_end_is_decoded_once() -> None:
    heard, jobs, said = played(transcribe)
    assert text(said) == text_of(SAID)
    assert {job.attempt for job in jobs} == {Attempt.WINDOW}
    assert heard.counters.unheard_retries == 0


def test_a_rejected_closing_does_not_lose_what_was_said_since_the_last_step() -> None:
    def rejects(request: DecodeRequest) -> Hypothesis:
        heard = transcribe(request)
        return replace(heard, rejected=len(request.audio) > 5.5 * WORD)

    heard, jobs, said = played(rejects)
    assert text(said) == text_of(SAID)
    assert heard.counters.fallbacks == 1
    assert closing(jobs)[-1] is Attempt.REST


def test_a_stream_moved_at_any_report_makes_the_same_attempts() -> None:
    _, _, said = played(stops_always)
    reports = [index for index, event in enumerate(said) if isinstance(event, events.Committed)]
    assert len(reports) > 1
    for index in reports:
        report = said[index]
        assert isinstance(report, events.Committed)
        _, _, rest = played(stops_always, report.state)
        assert finals(said[: index + 1]) + finals(rest) == finals(said)


def test_silence_after_the_last_word_needs_no_second_look() -> None:
    """A short step in the silence stands for the closing only if it heard the voice to its end."""

    def forgets(request: DecodeRequest) -> Hypothesis:
        heard = transcribe(request)
        return replace(heard, words=heard.words[:1]) if request.encoder_frames < 3_000 else heard

    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en", interims=False))
    heard.append_samples(np.concatenate([speak(1, 2, 3), np.zeros(3 * WORD, np.float32)]))
    heard.end()
    said: list[events.Event] = []
    while (job := heard.advance(EFFORT)) is not None:
        heard.apply(job, forgets(job.request))
        said += heard.pop_events()
    assert text(said + heard.pop_events()) == text_of([1, 2, 3])
    assert heard.counters.closed_by_step == 0


def finals(said: list[events.Event]) -> list[events.Final]:
    return [event for event in said if isinstance(event, events.Final)]
