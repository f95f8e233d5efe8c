"""The offline reference: faster-whisper's own `transcribe` on whole files (beam 5, voice filter).

Results are cached in the temporary folder under fingerprints of audio and model, since they do not depend on this
project's code.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import faster_whisper
import numpy as np
from numpy.typing import NDArray

from bench.corpus import Clip


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word with its times by full-context alignment, seconds."""

    text: str
    start: float
    end: float


class Offline:
    """A Whisper model transcribing whole files; `threads` files at a time, one core each."""

    def __init__(self, path: Path, sha256: str, *, threads: int = 2) -> None:
        self._path = path
        self._threads = threads
        self._folder = Path(tempfile.gettempdir()) / f"talkup-bench-{os.getuid()}" / sha256[:12]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._model: faster_whisper.WhisperModel | None = None

    def texts(self, clips: Sequence[Clip]) -> list[str]:
        """The transcript of each clip."""
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self._text, clips, [self._loaded()] * len(clips)))

    def words(self, clips: Sequence[Clip]) -> list[list[TimedWord]]:
        """The words of each clip with their times."""
        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(self._words, clips, [self._loaded()] * len(clips)))

    def cpu_per_second(self, clips: Sequence[Clip]) -> float:
        """CPU seconds per second of audio, one file after the other, measured now."""
        model, began = self._loaded(), time.process_time()
        for clip in clips:
            segments, _ = model.transcribe(clip.audio, language=clip.language, beam_size=5, vad_filter=True)
            for _ in segments:
                pass
        return (time.process_time() - began) / sum(clip.seconds for clip in clips)

    def _loaded(self) -> faster_whisper.WhisperModel:
        if self._model is None:
            self._model = faster_whisper.WhisperModel(
                str(self._path), device="cpu", compute_type="int8", cpu_threads=1, num_workers=self._threads
            )
        return self._model

    def _text(self, clip: Clip, model: faster_whisper.WhisperModel) -> str:
        kept = self._folder / f"{_fingerprint(clip)}.txt"
        if not kept.exists():
            segments, _ = model.transcribe(clip.audio, language=clip.language, beam_size=5, vad_filter=True)
            _keep(kept, " ".join(segment.text.strip() for segment in segments))
        return kept.read_text()

    def _words(self, clip: Clip, model: faster_whisper.WhisperModel) -> list[TimedWord]:
        kept = self._folder / f"{_fingerprint(clip)}.words.json"
        if not kept.exists():
            segments, _ = model.transcribe(
                clip.audio, language=clip.language, beam_size=5, vad_filter=True, word_timestamps=True
            )
            found = [(word.word, word.start, word.end) for segment in segments for word in segment.words or ()]
            _keep(kept, json.dumps([(text, float(start), float(end)) for text, start, end in found]))
        return [TimedWord(*word) for word in json.loads(kept.read_text())]


def growing_buffer(model: faster_whisper.WhisperModel, audio: NDArray[np.float32]) -> str:
    """One step of a naive server: `transcribe` the whole buffer, greedy."""
    segments, _ = model.transcribe(audio, language="en", beam_size=1)
    return " ".join(segment.text.strip() for segment in segments)


def _fingerprint(clip: Clip) -> str:
    return hashlib.sha256(clip.audio.tobytes() + clip.language.encode()).hexdigest()[:24]


def _keep(path: Path, text: str) -> None:
    """Write the file completely or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)
