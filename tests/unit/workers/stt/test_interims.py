"""When extra interims are asked for while the machine is idle."""

from __future__ import annotations

import numpy as np

from tests.unit.workers.stt.toys import Floats, hear_voice
from workers.stt.decode_job import Effort, Purpose, StreamOptions
from workers.stt.hypothesis import Hypothesis
from workers.stt.recognizer import Recognizer
from workers.stt.tuning import FRAME, Tuning
from workers.stt.vad import VadState
from workers.stt.words import Word

SOMETHING = Hypothesis((Word(" yes", 0, 8_000, 0.9),), -0.1, 0.0, False, "en")
NOTHING = Hypothesis((), -0.1, 0.0, False, "en")


def hear_faintly(audio: Floats, memory: VadState) -> tuple[Floats, VadState]:
    """A voice as in the toy world; what is softer than 0.3 may be one."""
    voices, memory = hear_voice(audio, memory)
    loudest = np.abs(audio.reshape(-1, FRAME)).max(axis=1)
    return np.where(loudest < 0.3, 0.4 * voices, voices).astype(np.float32), memory


def asked_at(answers: list[Hypothesis], options: StreamOptions) -> list[float]:
    """Seconds of media at which interims are asked for until the first step."""
    heard = Recognizer(hear_voice, Tuning(), options)
    heard.append_samples(np.full(4 * 16_000, 0.5, np.float32))
    times = []
    while (job := heard.advance(Effort(4.0, 5, extra_interims=True))) is not None and job.purpose is Purpose.INTERIM:
        times.append(job.end / 16_000)
        heard.apply(job, answers[min(len(times), len(answers)) - 1])
    return times


def encoded(effort: Effort) -> list[tuple[Purpose, int, int]]:
    """Of each job: its purpose, the samples that it hears and the frames of its encoder input."""
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en"))
    heard.append_samples(np.full(4 * 16_000, 0.5, np.float32))
    found = []
    while (job := heard.advance(effort)) is not None:
        found.append((job.purpose, job.end - job.start, job.request.encoder_frames))
        heard.apply(job, NOTHING)
    return found


def gaps(times: list[float]) -> list[float]:
    return np.diff(times).round(2).tolist()


def test_it_is_asked_again_sooner_while_nothing_was_understood() -> None:
    times = asked_at([NOTHING, NOTHING, SOMETHING], StreamOptions("en"))
    assert 0.65 <= times[0] < 0.7
    assert all(0.2 <= gap < 0.25 for gap in gaps(times)[:2])
    assert all(0.5 <= gap < 0.55 for gap in gaps(times)[2:])
    assert len(times) > 4


def test_only_interims_of_short_windows_have_a_shorter_encoder_input() -> None:
    jobs = encoded(Effort(1.0, 5, extra_interims=True))
    short = {frames for purpose, length, frames in jobs if purpose is Purpose.INTERIM and length < 1.3 * 16_000}
    assert short == {800}
    others = {frames for purpose, length, frames in jobs if purpose is Purpose.STEP or length >= 1.3 * 16_000}
    assert others == {1_000}
    assert Purpose.STEP in {purpose for purpose, _, _ in jobs}


def test_none_is_asked_for_where_no_voice_was_heard_since_the_last() -> None:
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en", endpointing=5 * 16_000))
    heard.append_samples(np.concatenate([np.full(FRAME * 31, 0.5, np.float32), np.zeros(4 * 16_000, np.float32)]))
    times = []
    while (job := heard.advance(Effort(100.0, 5, extra_interims=True))) is not None:
        times.append(job.end / 16_000)
        heard.apply(job, SOMETHING)
    assert times
    assert max(times) < 31 * FRAME / 16_000 + Tuning().interim_every + 0.1


def test_a_stream_that_wants_no_interims_asks_for_none() -> None:
    assert asked_at([SOMETHING], StreamOptions("en", interims=False)) == []


def test_an_interim_of_a_window_that_closed_unheard_is_not_shown_in_the_next() -> None:
    heard = Recognizer(hear_faintly, Tuning(), StreamOptions("en", endpointing=2 * 16_000))
    effort = Effort(10.0, 5, extra_interims=True)
    heard.append_samples(np.full(8_192, 0.5, np.float32))
    heard.flush(1)
    job = heard.advance(effort)
    assert job is not None
    assert job.closing
    heard.apply(job, SOMETHING)
    heard.append_samples(np.concatenate([np.full(16_384, 0.2, np.float32), np.zeros(3 * 16_000, np.float32)]))
    late = heard.advance(effort)
    assert late is not None
    assert late.purpose is Purpose.INTERIM
    while heard.advance(effort) is not None:
        pass
    heard.append_samples(np.full(2_048, 0.5, np.float32))
    assert heard.advance(effort) is None
    heard.pop_events()
    heard.apply(late, SOMETHING)
    assert heard.pop_events() == []


def test_interims_are_greedy_and_steps_search_with_the_whole_beam() -> None:
    heard = Recognizer(hear_voice, Tuning(), StreamOptions("en"))
    heard.append_samples(np.full(4 * 16_000, 0.5, np.float32))
    beams: dict[Purpose, set[int]] = {}
    while (job := heard.advance(Effort(1.5, 5, extra_interims=True))) is not None:
        beams.setdefault(job.purpose, set()).add(job.request.beam)
        heard.apply(job, SOMETHING)
    assert beams == {Purpose.INTERIM: {1}, Purpose.STEP: {5}}
