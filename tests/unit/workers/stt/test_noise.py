"""Endpointing by how noisy the place is."""

from __future__ import annotations

import numpy as np
import pytest

from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.noise import NoiseMeter
from workers.stt.recognizer import Recognizer
from workers.stt.state import RecognizerState
from workers.stt.tuning import FRAME, Tuning, samples
from workers.stt.vad import VadState

VOICE, BACKGROUND = 0.5, 0.25
"""Amplitudes 6 dB apart."""


def tone(amplitude: float, seconds: float) -> np.ndarray:
    return np.full(samples(seconds) // FRAME * FRAME, amplitude, np.float32)


def hear_voice(audio: np.ndarray, memory: VadState) -> tuple[np.ndarray, VadState]:
    """Whatever is as loud as VOICE counts as a voice."""
    return (audio.reshape(-1, FRAME).max(axis=1) >= VOICE).astype(np.float32), memory


def ended_speech_after(background: float, options: StreamOptions) -> float:
    """Seconds of background after which speech counts as ended, in a stream that has heard 2 s of both."""
    heard = Recognizer(hear_voice, Tuning(), options, spoken_in(background))
    before = heard.received
    heard.append_samples(tone(VOICE, 0.64))
    heard.append_samples(tone(background, 3.0))
    while True:
        job = heard.advance(Effort(100.0, 1, extra_interims=False))
        assert job is not None
        if job.closing:
            return (job.end - before - len(tone(VOICE, 0.64))) / 16_000


def spoken_in(background: float) -> RecognizerState:
    meter = NoiseMeter(0.5, 0.35)
    for _ in range(60):
        meter.push(tone(VOICE, 0.032), 1.0)
        meter.push(tone(background, 0.032), 0.0)
    return RecognizerState(noise=(meter.voiced, meter.voiced_frames, meter.quiet, meter.quiet_frames))


@pytest.mark.parametrize(
    ("background", "options", "seconds"),
    [
        (0.001, StreamOptions(), 0.8),
        (BACKGROUND, StreamOptions(), 1.5),
        (BACKGROUND, StreamOptions(endpointing=samples(0.5)), 0.5),
    ],
)
def test_a_noisy_place_ends_segments_later_unless_the_client_said_when(
    background: float, options: StreamOptions, seconds: float
) -> None:
    assert ended_speech_after(background, options) == pytest.approx(seconds, abs=0.04)


def test_nothing_is_said_before_both_were_heard_for_long_enough() -> None:
    meter = NoiseMeter(0.5, 0.35)
    for _ in range(100):
        meter.push(tone(VOICE, 0.032), 1.0)
    for _ in range(11):
        meter.push(tone(BACKGROUND, 0.032), 0.0)
    assert meter.above() is None
    meter.push(tone(BACKGROUND, 0.032), 0.0)
    assert meter.above() == pytest.approx(6.02, abs=0.01)


def test_a_silent_background_is_far_below() -> None:
    meter = NoiseMeter(0.5, 0.35)
    for _ in range(12):
        meter.push(tone(VOICE, 0.032), 1.0)
        meter.push(tone(0.0, 0.032), 0.2)
    above = meter.above()
    assert above is not None
    assert above > 60
