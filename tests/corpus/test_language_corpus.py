"""Two languages in one stream on real material: English and French sentences in turn, with the model `base`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bench.corpus import Clip, load
from workers import models
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.recognizer import Recognizer
from workers.stt.transcriber import Transcriber
from workers.stt.tuning import Tuning
from workers.stt.vad import SileroVad

pytestmark = [pytest.mark.corpus, pytest.mark.model]

GAP = np.random.default_rng(0).normal(0, 1e-4, 16_000 * 6 // 5).astype(np.float32)


@pytest.fixture(scope="module")
def base() -> Transcriber:
    cache = Path(os.environ.get("WORKER_MODEL_CACHE", "~/.cache/talkup/models")).expanduser()
    return Transcriber(models.resolve("base", cache).path)


def sentences(corpus: Path, language: str) -> list[Clip]:
    return [clip for clip in load(corpus, "speech", language) if 3 < clip.seconds < 9]


def finals(base: Transcriber, clips: list[Clip], options: StreamOptions) -> list[events.Final]:
    """What a stream of these clips says, with 1.2 s of faint noise after each."""
    tuning = Tuning()
    heard = Recognizer(SileroVad(), tuning, options)
    heard.append_samples(np.concatenate([part for clip in clips for part in (clip.audio, GAP)]))
    heard.end()
    said = []
    while (job := heard.advance(Effort(tuning.step, tuning.beam, extra_interims=False))) is not None:
        heard.apply(job, base.run([job.request])[0])
        said += [event for event in heard.pop_events() if isinstance(event, events.Final)]
    return said + [event for event in heard.pop_events() if isinstance(event, events.Final)]


def test_every_word_of_an_interview_is_in_the_language_it_was_spoken_in(corpus: Path, base: Transcriber) -> None:
    english, french = sentences(corpus, "en"), sentences(corpus, "fr")
    clips = [clip for pair in zip(english[::6][:3], french[:3], strict=True) for clip in pair]
    edges = np.cumsum([len(clip.audio) + len(GAP) for clip in clips])
    words = wrong = 0
    for final in finals(base, clips, StreamOptions(languages=("en", "fr"), interims=False)):
        spoken = clips[int(np.searchsorted(edges, final.words[0].start, side="right"))].language
        words += len(final.words)
        wrong += len(final.words) * (final.language != spoken)
    assert words > 60
    assert wrong == 0
