"""The manifest's clips, and the ways to cut their bytes into chunks."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from whisper_normalizer.basic import BasicTextNormalizer
from whisper_normalizer.english import EnglishTextNormalizer

SLICES_A_SECOND = 10
RECORDINGS = ("mic-audio.webm", "mic-audio-24k.webm", "mic-audio-mp4.mp4", "mic-cam.webm")
"""What Chromium's MediaRecorder wrote; the manifest does not list them."""

_NORMALISERS = {"en": EnglishTextNormalizer()}
_OTHERS = BasicTextNormalizer()


@dataclass(frozen=True, slots=True)
class Clip:
    """A file, its declared MIME type, and its text if known."""

    path: Path
    mime: str
    language: str
    seconds: float
    text: str = ""

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


def manifest(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The manifest's rows of one kind."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def clips(folder: Path, kind: str) -> list[Clip]:
    """The manifest's clips of one kind, declared with their MIME types."""
    return [
        Clip(
            path=folder / row["file"],
            mime=row.get("mime", "audio/flac").split(" (")[0],
            language=row["lang"],
            seconds=row.get("seconds") or 0.0,
            text=row.get("text", ""),
        )
        for row in manifest(folder, kind)
    ]


def recordings(folder: Path) -> list[Clip]:
    """The recordings of Chromium, with the MIME type that was requested from the recorder."""
    where, found = folder / "chromium-mediarecorder", []
    said = (where / "say.txt").read_text(encoding="utf-8")
    for name in RECORDINGS:
        path = where / name
        meta = json.loads(path.with_name(f"{path.stem}.meta.json").read_text(encoding="utf-8"))
        found.append(Clip(path, meta["requested"], "en", meta["seconds"], said))
    return found


def opus_packets(data: bytes) -> list[bytes]:
    """The packets of a .pkts file; each follows its length (16 bits, big-endian)."""
    packets, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">H", data, at)
        packets.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return packets


def slices(path: Path, seconds: float | None) -> list[bytes]:
    """The clip in its recorded slices of 100 ms, or in the same number of equal parts."""
    data = path.read_bytes()
    if path.suffix == ".pkts":
        return opus_packets(data)
    listed = path.with_name(path.name + ".chunks.json")
    if listed.exists():
        chunks = json.loads(listed.read_text(encoding="utf-8"))["chunks"]
        return [data[chunk["offset"] : chunk["offset"] + chunk["length"]] for chunk in chunks]
    recorded = path.with_name(path.stem + ".chunks.jsonl")
    if recorded.exists():
        lines = [json.loads(line) for line in recorded.read_text(encoding="utf-8").splitlines()]
        return [data[line["offset"] : line["offset"] + line["size"]] for line in lines]
    count = max(1, round((seconds or 10.0) * SLICES_A_SECOND))
    edges = [len(data) * index // count for index in range(count + 1)]
    return [data[start:end] for start, end in pairwise(edges)]


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` in parts of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


def words(text: str, language: str) -> Sequence[str]:
    """The words as they are scored: lower case, no punctuation, English numbers spelled one way."""
    normalised: str = _NORMALISERS.get(language, _OTHERS)(text)
    return normalised.split()
