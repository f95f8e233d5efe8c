"""The material for every server: sentences joined with pauses, in a different order per stream, and word times."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.corpus import SAMPLE_RATE, Clip, load
from bench.harness.material import slices
from bench.peers.words import Spoken, spoken
from bench.stt.bench import ENGLISH, resolved
from bench.stt.offline import Offline, TimedWord

CHUNK_S = 0.1
_CHUNK = int(CHUNK_S * SAMPLE_RATE)
_PAUSES_S = (0.4, 1.2)
_NOISE = 1e-4
_SEED = 11
_LONGEST_CLIP_S = 20.0
_AFTER_LAST_WORD_S = 0.05
_LEAST_WORDS = 8


@dataclass(frozen=True, slots=True)
class Line:
    """One stream's audio as PCM chunks of 100 ms, its text, and word times by an offline pass."""

    chunks: list[bytes]
    text: str
    words: list[Spoken]

    @property
    def seconds(self) -> float:
        return len(self.chunks) * CHUNK_S


@dataclass(frozen=True, slots=True)
class Recording:
    """A browser's recording in slices, one per 100 ms."""

    name: str
    chunks: list[bytes]
    text: str


class Material:
    """English clips of the corpus folder, `seconds` of them."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        clips = [clip for clip in load(folder, "speech", "en") if clip.seconds <= _LONGEST_CLIP_S]
        random.Random(_SEED).shuffle(clips)
        self.clips = _filling(clips, seconds)
        found = resolved(ENGLISH)
        timed = Offline(found.path, found.sha256).words(self.clips)
        self._words = {clip.name: words for clip, words in zip(self.clips, timed, strict=True)}

    def line(self, number: int) -> Line:
        """Stream `number`: the same clips as every other, but starting with a different one and with other pauses."""
        first = number % len(self.clips)
        return self._joined([*self.clips[first:], *self.clips[:first]], random.Random(number))

    def ending_with_the_last_word(self, count: int) -> list[Line]:
        """Single clips, cut where the offline pass hears their last word end."""
        lines: list[Line] = []
        for clip in dict.fromkeys(self.clips):
            words = self._words[clip.name]
            if len(words) >= _LEAST_WORDS and len(lines) < count:
                cut = int((words[-1].end + _AFTER_LAST_WORD_S) * SAMPLE_RATE)
                lines.append(Line(_chunks(clip.audio[:cut]), clip.text, spoken(words)))
        return lines

    def recording(self) -> Recording | None:
        """An English recording of a browser; None if the corpus has none."""
        manifest = self._folder / "manifest.jsonl"
        rows = [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.exists() else []
        for row in rows:
            if row.get("mime", "").startswith("audio/webm") and row.get("lang") == "en" and row.get("text"):
                path = self._folder / row["file"]
                return Recording(row["file"], slices(path, row["seconds"]), row["text"])
        return None

    def _joined(self, clips: Sequence[Clip], rng: random.Random) -> Line:
        noise = np.random.default_rng(rng.randrange(2**32))
        pieces: list[NDArray[np.float32]] = []
        words: list[Spoken] = []
        at = 0
        for clip in clips:
            offset = at / SAMPLE_RATE
            timed = [TimedWord(w.text, w.start + offset, w.end + offset) for w in self._words[clip.name]]
            words += spoken(timed)
            pause = noise.normal(0, _NOISE, int(rng.uniform(*_PAUSES_S) * SAMPLE_RATE)).astype(np.float32)
            pieces += [clip.audio, pause]
            at += len(clip.audio) + len(pause)
        return Line(_chunks(np.concatenate(pieces)), " ".join(clip.text for clip in clips), words)


def _filling(clips: list[Clip], seconds: float) -> list[Clip]:
    """As many clips as fill this many seconds, starting over if there are too few."""
    taken: list[Clip] = []
    while sum(clip.seconds for clip in taken) < seconds:
        taken.append(clips[len(taken) % len(clips)])
    return taken


def _chunks(audio: NDArray[np.float32]) -> list[bytes]:
    data = (np.clip(audio, -1, 1) * 32767).astype("<i2")
    return [data[first : first + _CHUNK].tobytes() for first in range(0, len(data), _CHUNK)]
