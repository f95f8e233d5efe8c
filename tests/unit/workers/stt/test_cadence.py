"""When a step is due: after a step's length, and sooner at a pause."""

from __future__ import annotations

import pytest

from workers.stt.cadence import Cadence
from workers.stt.decode_job import Effort, Purpose
from workers.stt.tuning import FRAME, SAMPLE_RATE, Tuning, samples


def steps(
    voice: list[tuple[float, float]],
    seconds: float,
    step: float = 1.5,
    strain: float = 0.0,
    waiting: float | None = None,
) -> list[float]:
    """Seconds at which steps are due in a window with a voice between these times.

    `waiting`: the end of a word that no step makes final, seconds.
    """
    cadence = Cadence(Tuning(), 0)
    found, silence = [], 0
    for end in range(FRAME, int(seconds * SAMPLE_RATE), FRAME):
        at = end / SAMPLE_RATE
        silence = 0 if any(start <= at < stop for start, stop in voice) else silence + FRAME
        effort = Effort(step, 5, extra_interims=False, strain=strain)
        held = None if waiting is None else samples(waiting)
        if cadence.due(0, end, effort, interims=False, silence=silence, waiting=held) is Purpose.STEP:
            found.append(at)
    return found


def test_unbroken_speech_is_heard_every_step() -> None:
    assert steps([(0, 9)], 5) == pytest.approx([1.5, 3.0, 4.5], abs=0.1)


def test_a_pause_brings_the_next_step_forward_once() -> None:
    assert steps([(0, 1.0)], 2.5) == pytest.approx([1.25], abs=0.05)


def test_the_steps_count_on_from_the_pause() -> None:
    assert steps([(0, 1.0), (1.5, 9)], 4.5) == pytest.approx([1.25, 2.75, 4.25], abs=0.05)


def test_a_pause_soon_after_a_step_is_heard_when_part_of_a_step_has_passed() -> None:
    assert steps([(0, 1.6)], 2.5) == pytest.approx([1.5, 2.05], abs=0.05)


def test_a_step_that_falls_into_the_pause_needs_no_other() -> None:
    assert steps([(0, 1.2)], 2.5) == pytest.approx([1.45], abs=0.05)
    assert steps([(0, 0.3), (0.5, 1.24)], 2.5) == pytest.approx([1.5], abs=0.05)


def test_a_step_falls_into_every_silence_that_ends_a_segment() -> None:
    for tenths in range(1, 60):
        voice_end = tenths / 10
        heard = steps([(0, voice_end)], voice_end + Tuning().endpointing)
        assert heard[-1] >= voice_end + Tuning().closing_silence - FRAME / SAMPLE_RATE, voice_end


def test_under_load_pauses_bring_steps_forward_less() -> None:
    assert steps([(0, 0.6), (1.0, 9)], 3.5, step=3.0) == pytest.approx([3.0], abs=0.05)
    assert steps([(0, 1.0)], 2.5, step=3.0) == pytest.approx([1.25], abs=0.05)


def test_under_strain_a_pause_soon_after_a_step_waits_for_the_next_one() -> None:
    pauses = [(0, 1.5), (2.0, 9)]
    assert steps(pauses, 3.5) == pytest.approx([1.5, 3.0], abs=0.05)
    assert steps([(0, 1.2), (1.6, 9)], 3.5, step=3.0) == pytest.approx([1.45], abs=0.05)
    assert steps([(0, 1.2), (1.6, 9)], 3.5, step=3.0, strain=1.0) == pytest.approx([3.0], abs=0.05)


def test_a_word_left_undecided_with_audio_enough_behind_it_is_heard_again_sooner() -> None:
    assert steps([(0, 9)], 4.0, waiting=0.6) == pytest.approx([1.5, 2.55, 3.6], abs=0.05)


def test_a_word_at_the_end_of_a_step_waits_for_the_whole_next_one() -> None:
    assert steps([(0, 9)], 4.5, waiting=0.8) == pytest.approx([1.5, 3.0, 4.05], abs=0.05)


def test_under_strain_an_undecided_word_brings_no_step_forward() -> None:
    assert steps([(0, 9)], 4.8, waiting=0.6, strain=1.0) == pytest.approx([1.5, 3.0, 4.5], abs=0.1)
