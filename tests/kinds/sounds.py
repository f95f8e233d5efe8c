"""What is heard in the recordings: a tone for comparisons of samples, or a sentence for comparisons of words."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests.unit.workers.media.material import tone

Sound = Callable[[int], NDArray[np.float32]]
"""Mono samples between -1 and 1 at a rate, Hz."""

TONE_SECONDS = 0.8
SENTENCE_FROM_S = 10.8
_SPEECH = Path(__file__).parents[1] / "data" / "speech"
SENTENCE = (_SPEECH / "interview.txt").read_text(encoding="utf-8").split(". ")[-1]
"""What `sentence` says."""


def short_tone(rate: int) -> NDArray[np.float32]:
    """A gliding tone."""
    return tone(TONE_SECONDS, rate)


@cache
def interview(rate: int) -> NDArray[np.float32]:
    """The whole interview, of which tests/data/speech/interview.txt is the text."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
    with av.open(str(_SPEECH / "interview.ogg")) as file:
        frames = [ready for frame in file.decode(audio=0) for ready in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def sentence(rate: int) -> NDArray[np.float32]:
    """The last sentence of the interview, which the smallest model understands at telephone quality too."""
    return interview(rate)[round(SENTENCE_FROM_S * rate) :]
