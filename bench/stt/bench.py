"""Shared by the parts of the speech benchmark: material, models, and the time left."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

from bench import corpus
from bench.stt.offline import Offline
from bench.stt.replay import Model
from workers import models
from workers.stt.transcriber import Transcriber
from workers.stt.vad import SileroVad

ENGLISH = "tiny.en"
MANY_LANGUAGES = "base"
Say = Callable[[str], None]


class Bench:
    """One run over a corpus folder. `ends` is on the monotonic clock: parts plan by `left`."""

    def __init__(self, folder: Path, minutes: float, say: Say) -> None:
        self.folder = folder
        self.say = say
        self.threads = len(os.sched_getaffinity(0))
        self._ends = time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds left of the run."""
        return self._ends - time.monotonic()

    def clips(self, kind: str, language: str | None = None) -> list[corpus.Clip]:
        """Clips of the corpus; see `corpus.load`."""
        return _clips(self.folder, kind, language)

    def spoken(self) -> list[corpus.Clip]:
        """English clips of one sentence or so, without long recordings."""
        return [clip for clip in self.clips("speech", "en") if clip.seconds < 60]

    def model(self, name: str) -> Model:
        """A network in this process, loaded once."""
        return _model(name, self.threads)

    def offline(self, name: str) -> Offline:
        """The offline reference with the same weights."""
        found = resolved(name)
        return _offline(found.path, found.sha256, self.threads)


def resolved(name: str) -> models.ResolvedModel:
    """Weights by name, from the folder that WORKER_MODEL_CACHE names."""
    cache = os.environ.get("WORKER_MODEL_CACHE", "~/.cache/talkup/models")
    return models.resolve(name, Path(cache).expanduser())


@functools.cache
def _clips(folder: Path, kind: str, language: str | None) -> list[corpus.Clip]:
    return corpus.load(folder, kind, language)


@functools.cache
def _model(name: str, threads: int) -> Model:
    return Model(Transcriber(resolved(name).path, threads=threads), SileroVad(), threads)


@functools.cache
def _offline(path: Path, sha256: str, threads: int) -> Offline:
    return Offline(path, sha256, threads=threads)
