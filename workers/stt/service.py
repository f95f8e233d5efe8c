"""The speech engine of a worker process: the model by name, settings for the device, and its decoder children."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from workers import models
from workers.config import WorkerConfig
from workers.machine import read_machine
from workers.media.errors import MediaError
from workers.media.isolation.outputs import AUDIO, Samples
from workers.media.isolation.pool import DecoderPool
from workers.observer import EngineObserver
from workers.stt.config import SttConfig
from workers.stt.engine import SttEngine
from workers.stt.transcriber import cuda_devices

_log = structlog.get_logger()

FORMATS: Final = (
    "audio/webm;codecs=opus",
    "audio/x-matroska",
    "audio/ogg",
    "audio/opus",
    "audio/mp4",
    "audio/3gpp",
    "audio/mpeg",
    "audio/aac",
    "audio/wav",
    "audio/aiff",
    "audio/x-caf",
    "audio/flac",
    "audio/amr",
    "audio/pcm",
    "video/webm",
    "video/x-matroska",
    "video/mp4",
    "video/quicktime",
)
_COMPUTE_TYPES: Final = {"cpu": "int8", "cuda": "float16"}
_DEFAULT: Final = "default"


class SttService(SttEngine):
    """A speech engine that owns its decoder children: they start with the model and stop with it."""

    def __init__(self, config: SttConfig, pool: DecoderPool[Samples]) -> None:
        super().__init__(config, pool, MediaError)
        self._pool = pool

    def observe(self, observer: EngineObserver) -> None:
        """See `workers.engine.Engine.observe`."""
        super().observe(observer)
        self._pool.watch_endings(observer.decoder_ended)

    async def load(self) -> None:
        """Start the decoder children while the model loads (`SttEngine.load`). Raises ChildStartError."""
        await asyncio.gather(self._pool.start(), super().load())

    async def close(self) -> None:
        """Stop the model, then the children."""
        await super().close()
        await self._pool.close()


def create_engine(config: WorkerConfig) -> SttService:
    """The engine of `python -m workers stt`. Raises models.ModelError."""
    machine = read_machine()
    decoders = config.decoders or machine.threads
    device = config.device
    if device == "auto":
        device = "cuda" if cuda_devices() else "cpu"
    model = models.resolve(config.model, config.model_cache)
    stt = SttConfig(
        model=model.name,
        path=model.path,
        sha256=model.sha256,
        device=device,
        compute_type=_COMPUTE_TYPES[device] if config.compute_type == _DEFAULT else config.compute_type,
        threads=config.threads or machine.threads,
        cores=machine.cores,
        slots=config.slots,
        formats=FORMATS,
    )
    _log.info("machine measured", cores=round(machine.cores, 2), threads=stt.threads, decoders=decoders, device=device)
    return SttService(stt, DecoderPool(children=decoders, output=AUDIO))
