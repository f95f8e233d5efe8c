"""Silero as a stream: the same voices however the audio is cut."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from workers.stt.tuning import FRAME
from workers.stt.vad import SileroVad, VadState

SPEECH = Path(__file__).parents[3] / "data" / "speech" / "interview.ogg"


def audio() -> np.ndarray:
    samples, _ = soundfile.read(SPEECH, dtype="float32")
    return samples[: len(samples) // FRAME * FRAME][: 300 * FRAME]


def test_cut_and_packed_it_gives_what_the_whole_gives() -> None:
    detect = SileroVad()
    whole, _ = detect(audio(), VadState.fresh())
    assert whole.max() > 0.9
    assert whole.min() < 0.1
    parts, memory = [], VadState.fresh()
    for first in range(0, len(audio()), 7 * FRAME):
        voices, memory = detect(audio()[first : first + 7 * FRAME], VadState.unpack(memory.pack()))
        parts.append(voices)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)


def at_level(decibels: float) -> np.ndarray:
    """The first 3 s of the interview at a mean level, in dB of full scale."""
    voice = audio()[: 94 * FRAME]
    return (voice / np.sqrt(np.mean(voice**2)) * 10 ** (decibels / 20)).astype(np.float32)


def quiet(seconds: float, decibels: float | None) -> np.ndarray:
    """White noise at a level, or zeros (None)."""
    length = int(seconds * 16_000) // FRAME * FRAME
    if decibels is None:
        return np.zeros(length, np.float32)
    return np.random.default_rng(0).normal(0, 10 ** (decibels / 20), length).astype(np.float32)


def voiced(detect: SileroVad, samples: np.ndarray, memory: VadState) -> np.ndarray:
    return np.flatnonzero(detect(samples, memory)[0] >= 0.5)


@pytest.mark.parametrize(
    ("room", "seconds"), [(None, 5), (None, 60), (-60, 60), (-50, 60), (-40, 60), (None, 600), (-40, 600)]
)
def test_after_long_quiet_speech_is_heard_as_in_a_new_stream(room: int | None, seconds: float) -> None:
    detect = SileroVad()
    before, memory = detect(quiet(seconds, room), VadState.fresh())
    assert before.max() < 0.5
    for level in (-20, -30, -40):
        speech = at_level(level) + quiet(94 * FRAME / 16_000, room)
        new, later = voiced(detect, speech, VadState.fresh()), voiced(detect, speech, memory)
        assert later[0] <= new[0] + 1
        assert len(later) >= 0.95 * len(new)


def test_memory_is_renewed_at_the_same_frame_however_the_audio_is_cut() -> None:
    detect = SileroVad()
    samples = np.concatenate([quiet(5, -50), audio()[: 60 * FRAME], quiet(9, None), audio()[: 60 * FRAME]])
    whole, last = detect(samples, VadState.fresh())
    parts, memory = [], VadState.fresh()
    for first in range(0, len(samples), 7 * FRAME):
        voices, memory = detect(samples[first : first + 7 * FRAME], VadState.unpack(memory.pack(), memory.silent))
        parts.append(voices)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert memory.silent == last.silent


def test_a_state_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        VadState.unpack(b"short")
    with pytest.raises(ValueError, match="silence"):
        VadState.unpack(VadState.fresh().pack(), 128)


def test_the_library_that_runs_it_reports_to_nobody(tmp_path: Path) -> None:
    """onnxruntime's telemetry leaves an identifier of the machine in the user's cache as soon as it is used."""
    program = "from workers.stt.vad import SileroVad; SileroVad()"
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={**environment, **places}, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("*")) == []
