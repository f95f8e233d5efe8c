"""What the recogniser makes of labelled clips: final words with their times, kept in the temporary folder.

A run depends on audio, model and options alone, so a second run of the benchmark reads the words of the first.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.corpus import SAMPLE_RATE, Clip
from bench.stt.bench import Bench, resolved
from bench.stt.replay import Played, replay
from workers.stt.decode_job import StreamOptions

_VERSION = b"1"


@dataclass(frozen=True, slots=True)
class Heard:
    """A final word; positions are samples of the clip. `committed`: where the stream stood when it became final."""

    text: str
    start: int
    end: int
    committed: int


def hear(bench: Bench, model: str, clips: Sequence[Clip], prompt: str = "") -> list[list[Heard]]:
    """The final words of each clip on a virtual clock, with an initial prompt if one is given."""
    folder = Path(tempfile.gettempdir()) / f"talkup-bench-{os.getuid()}" / f"heard-{resolved(model).sha256[:12]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = [folder / f"{_fingerprint(clip, prompt)}.json" for clip in clips]
    languages = sorted({clip.language for clip, path in zip(clips, paths, strict=True) if not path.exists()})
    for language in languages:
        wanted = [
            (clip, path)
            for clip, path in zip(clips, paths, strict=True)
            if clip.language == language and not path.exists()
        ]
        bench.say(f"{model}: {len(wanted)} clips, {sum(clip.seconds for clip, _ in wanted):.0f} s, {language}")
        ready = bench.model(model)
        hint = ready.transcriber.encode_hint(prompt)
        options = StreamOptions(language=language, interims=False, initial_prompt=hint)
        for (_, path), played in zip(wanted, replay(ready, [clip for clip, _ in wanted], options), strict=True):
            _keep(path, played)
    return [[Heard(*word) for word in json.loads(path.read_text())] for path in paths]


def _fingerprint(clip: Clip, prompt: str) -> str:
    key = f"/{clip.language}/{prompt}".encode()
    return hashlib.sha256(_VERSION + clip.audio.tobytes() + key).hexdigest()[:24]


def _keep(path: Path, played: Played) -> None:
    """Write the words completely or not at all."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        words = zip(played.words, played.committed_at, strict=True)
        json.dump([(word.text, int(word.start), int(word.end), round(at * SAMPLE_RATE)) for word, at in words], file)
    Path(file.name).replace(path)
