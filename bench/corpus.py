"""The material of a benchmark: a folder with `manifest.jsonl`, or the test suite's own clips.

A manifest row has `file`, `kind` ("speech", "long-speech", "noisy-speech", "nonspeech", …), `lang` and `text`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from faster_whisper.audio import decode_audio
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
OWN_CLIPS = Path(__file__).parents[1] / "tests" / "data" / "speech"


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """16 kHz mono float32 audio and its text."""

    name: str
    kind: str
    language: str
    audio: NDArray[np.float32]
    text: str
    parts: tuple[tuple[str, float], ...] = ()
    """Name and start (seconds) of each clip that was joined."""

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def read_audio(path: Path) -> NDArray[np.float32]:
    """Read any sound file as 16 kHz mono."""
    if path.suffix in {".flac", ".wav"} and soundfile.info(path).samplerate == SAMPLE_RATE:
        audio, _ = soundfile.read(path, dtype="float32", always_2d=True)
        return np.ascontiguousarray(audio.mean(axis=1))
    return np.asarray(decode_audio(str(path), sampling_rate=SAMPLE_RATE), dtype=np.float32)


def load(folder: Path, kind: str, language: str | None = None) -> list[Clip]:
    """The clips of one kind, in the manifest's order. A folder without a manifest holds the test suite's own clips."""
    return list(_rows(folder, kind, language))


def _rows(folder: Path, kind: str, language: str | None) -> Iterator[Clip]:
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        if kind == "speech" and language in (None, "en"):
            for path in sorted(folder.glob("*.ogg")):
                yield Clip(path.name, kind, "en", read_audio(path), path.with_suffix(".txt").read_text())
        return
    for line in manifest.read_text().splitlines():
        row = json.loads(line)
        spoken = row.get("lang", "")
        if row["kind"] == kind and (language is None or spoken == language):
            yield Clip(row["file"], kind, spoken, read_audio(folder / row["file"]), row.get("text", ""))


def joined(clips: list[Clip], *, group: int = 8, seed: int = 3) -> list[Clip]:
    """Join clips with gaps of 0.15 to 0.6 s of faint noise into long unbroken speech."""
    rng = np.random.default_rng(seed)
    made = []
    for first in range(0, len(clips), group):
        part = clips[first : first + group]
        pieces: list[NDArray[np.float32]] = []
        places = []
        for clip in part:
            places.append((clip.name, sum(map(len, pieces)) / SAMPLE_RATE))
            gap = rng.normal(0, 1e-4, int(rng.uniform(0.15, 0.6) * SAMPLE_RATE)).astype(np.float32)
            pieces += [clip.audio, gap]
        text = " ".join(clip.text for clip in part)
        name = f"joined/{group}-{seed}/{first}"
        made.append(Clip(name, "joined", part[0].language, np.concatenate(pieces), text, tuple(places)))
    return made
