"""A scripted engine without a model: deterministic results from the bytes received, with failures on demand.

Word k is a function of bytes [k*N, (k+1)*N) of the stream alone, so a lost, doubled or swapped byte shows in the words
from there on. `expected_words` gives the words of a stream that lost nothing. A new recording, a declared loss, a flush
and the end close the current block, however short it is.

The engine obeys the contract as a real one does: interims, finals, speech events, progress in the message of the final
that it belongs to, and a `resume_state` with which another fake worker continues word for word. As a speech worker, it
serves delivery, too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from talkup.v1 import error_pb2, media_pb2, task_pb2, worker_service_pb2

from workers.engine import EngineError, EngineSession, StreamContext
from workers.fake.script import CRASH_STATUS, FakeScript, Faults, Sleep
from workers.fake.speech import SpeechSession
from workers.fake.vision import VisionSession
from workers.fake.words import WORD_BYTES, expected_words, word_of
from workers.observer import NO_OBSERVER, EngineObserver

if TYPE_CHECKING:
    from workers.fake.settings import FakeSettings

__all__ = ["MODEL_NAME", "WORD_BYTES", "FakeEngine", "FakeScript", "create_engine", "expected_words", "word_of"]

MODEL_NAME: Final = "fake"
MODEL_SHA256: Final = hashlib.sha256(b"talkup fake engine 1").hexdigest()

_LANGUAGES: Final = ("en", "fr")
_AUDIO: Final = ("audio/webm", "audio/ogg", "audio/mp4", "audio/mpeg", "audio/flac", "audio/wav", "audio/L16")
_VIDEO: Final = ("image/jpeg", "image/png", "image/webp", "video/webm", "video/mp4")
_PICTURES: Final = (media_pb2.CONTAINER_JPEG, media_pb2.CONTAINER_WEBP, media_pb2.CONTAINER_PNG)
_SOUNDS: Final = (
    media_pb2.CONTAINER_OGG,
    media_pb2.CONTAINER_MP3,
    media_pb2.CONTAINER_FLAC,
    media_pb2.CONTAINER_WAV,
    media_pb2.CONTAINER_PCM,
    media_pb2.CONTAINER_OPUS_PACKETS,
)


def _crash() -> None:
    os._exit(CRASH_STATUS)


class FakeEngine:
    """The engine of `python -m workers fake`. Tests pass `sleep` and `crash` in."""

    def __init__(
        self, script: FakeScript | None = None, *, sleep: Sleep = asyncio.sleep, crash: Callable[[], None] = _crash
    ) -> None:
        self._script = script or FakeScript()
        self._sleep = sleep
        self._crash = crash
        self._observer: EngineObserver = NO_OBSERVER

    @property
    def service_type(self) -> task_pb2.ServiceType:
        return self._script.service_type

    async def load(self) -> None:
        """There is nothing to load."""

    def describe(self) -> worker_service_pb2.DescribeResponse:
        model = task_pb2.ModelInfo(name=MODEL_NAME, sha256=MODEL_SHA256, device="cpu", compute_type="none")
        if self._vision:
            return worker_service_pb2.DescribeResponse(models=[model], formats=_VIDEO)
        return worker_service_pb2.DescribeResponse(models=[model], languages=_LANGUAGES, formats=_AUDIO)

    def open(self, start: task_pb2.StreamStart, context: StreamContext) -> EngineSession:
        if self._script.reject:
            raise EngineError(
                error_pb2.ERROR_CODE_BUSY, "scripted to refuse every stream", retryable=True, retry_after_ms=500
            )
        faults = Faults(self._script, self._sleep, self._crash)
        container = start.format.container
        if self._vision:
            if container in _SOUNDS:
                raise EngineError(
                    error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "sound holds no picture", field="start.format.container"
                )
            return VisionSession(start, faults)
        if container in _PICTURES:
            raise EngineError(
                error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "pictures hold no speech", field="start.format.container"
            )
        alone = context.service_type == task_pb2.SERVICE_TYPE_DELIVERY
        return SpeechSession(start, self._script, faults, self._observer, alone=alone)

    def default_slots(self) -> int:
        return self._script.slots

    async def review(self) -> None:
        """The script's slots never change."""

    def totals(self) -> Mapping[str, float]:
        """See `workers.engine.Engine.totals`."""
        return {}

    def observe(self, observer: EngineObserver) -> None:
        """See `workers.engine.Engine.observe`: what a stream's chunks take, scripted delays included, are its steps."""
        self._observer = observer

    async def close(self) -> None:
        """There is nothing to free."""

    @property
    def _vision(self) -> bool:
        return self._script.service_type == task_pb2.SERVICE_TYPE_VISION


def create_engine(config: FakeSettings) -> FakeEngine:
    """The engine that `python -m workers fake` serves."""
    return FakeEngine(config.script)
