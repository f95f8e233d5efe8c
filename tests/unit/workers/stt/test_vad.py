"""Silero as a stream: the same voices however the audio is cut."""

from __future__ import annotations

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


def test_a_state_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        VadState.unpack(b"short")
