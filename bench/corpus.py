"""The material a benchmark runs on: a folder with `manifest.jsonl`, or the clips that the test suite makes itself.

A manifest row has `file`, `kind` ("speech", "long-speech", "noisy-speech", "nonspeech", …), `lang` and `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
OWN_CLIPS = Path(__file__).parents[1] / "tests" / "data" / "speech"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """16 kHz mono float32 audio and what is said in it."""

    name: str
    kind: str
    language: str
    audio: NDArray[np.float32]
    text: str

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def read_audio(path: Path) -> NDArray[np.float32]:
    """A mono sound file of 16 kHz; raises ValueError for any other."""
    audio, rate = soundfile.read(path, dtype="float32")
    if rate != SAMPLE_RATE or audio.ndim != 1:
        raise ValueError(f"{path.name}: {rate} Hz, shape {audio.shape}; wanted 16 kHz mono")
    return audio


def load(folder: Path, kind: str, language: str | None = None) -> list[Clip]:
    """The clips of one kind, in the manifest's order; those of a folder without a manifest are the suite's own."""
    return list(_rows(folder, kind, language))


def _rows(folder: Path, kind: str, language: str | None) -> Iterator[Clip]:
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        spoken = row.get("lang", "")
        if row["kind"] == kind and (language is None or spoken == language):
            yield Clip(row["file"], kind, spoken, read_audio(folder / row["file"]), row.get("text", ""))


def joined(clips: list[Clip], *, group: int = 8, seed: int = 3) -> list[Clip]:
    """Clips joined with gaps of 0.15 to 0.6 s of faint noise: long unbroken speech."""
    rng = np.random.default_rng(seed)
    made = []
    for first in range(0, len(clips), group):
        part = clips[first : first + group]
        pieces: list[NDArray[np.float32]] = []
        for clip in part:
            gap = rng.normal(0, 1e-4, int(rng.uniform(0.15, 0.6) * SAMPLE_RATE)).astype(np.float32)
            pieces += [clip.audio, gap]
        text = " ".join(clip.text for clip in part)
        made.append(Clip(f"joined/{first}", "joined", part[0].language, np.concatenate(pieces), text))
    return made
