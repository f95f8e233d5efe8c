"""The engines that the conformance suite checks against the contract, each with its own media.

To add an engine: append an EngineCase to ENGINE_CASES (with its pytest marks). `media` is one recording in pieces that
contain enough for at least two finals.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from talkup.v1 import media_pb2, task_pb2

from workers.engine import Engine
from workers.fake.engine import FakeEngine, FakeScript

FAKE_START = task_pb2.StreamStart(
    kind=media_pb2.MEDIA_KIND_AUDIO,
    format=media_pb2.MediaFormat(mime_type="audio/webm;codecs=opus", container=media_pb2.CONTAINER_WEBM),
)


@dataclass(frozen=True)
class EngineCase:
    """One engine under test. `make` returns a new engine, not loaded yet."""

    name: str
    make: Callable[[], Engine]
    start: task_pb2.StreamStart
    media: Callable[[], list[bytes]]
    refused_start: task_pb2.StreamStart
    seconds: float = 5.0
    marks: tuple[Any, ...] = field(default=())


def fake_media() -> list[bytes]:
    """23 chunks of uneven size, 25,714 bytes."""
    rng = random.Random(7)
    return [rng.randbytes(size) for size in (1, 1500, 900, 0, 2600, 333) * 4][:23]


_PICTURE = task_pb2.StreamStart(
    kind=media_pb2.MEDIA_KIND_AUDIO, format=media_pb2.MediaFormat(container=media_pb2.CONTAINER_JPEG)
)

ENGINE_CASES = [
    EngineCase("fake", FakeEngine, FAKE_START, fake_media, _PICTURE),
    EngineCase(
        "fake, replay from the first uncommitted chunk",
        lambda: FakeEngine(FakeScript(replay_behind=0, words_per_final=1)),
        FAKE_START,
        fake_media,
        _PICTURE,
    ),
]
