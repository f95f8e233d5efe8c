"""The vision engine of a worker process: the networks by name, and its decoder children."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from workers import models
from workers.machine import read_machine
from workers.media.isolation.decoder_stream import StreamLimits
from workers.media.isolation.outputs import VIDEO
from workers.media.isolation.pool import DecoderPool, PoolLimits
from workers.vision.engine import VisionConfig, VisionEngine
from workers.vision.settings import VisionSettings

_log = structlog.get_logger()

# A stream decodes at most at the rates of `VideoOutput`, after a burst of 4 s.
# A frame of 1920 x 1080 takes about 7 ms of CPU, one of 4096 x 2304 about 25 ms.
_LIMITS: Final = PoolLimits(
    stream=StreamLimits(
        max_payload_bytes=4 << 20,
        max_replay_bytes=48 << 20,
        max_rate=1.0,
        burst_seconds=4.0,
        cpu_rate=0.75,
        cpu_burst_seconds=4.0,
        chunk_cpu_seconds=4.0,
    )
)
# For photos: a lossless WebP of 65 megapixels takes 0.8 GB of address space.
_SLOW_LIMITS: Final = replace(_LIMITS, address_space_bytes=1280 << 20)
_SLOW_SECONDS: Final = 5.0


def create_engine(config: VisionSettings, *, clock: Callable[[], float] = time.monotonic) -> VisionEngine:
    """The engine of `python -m workers vision`. Raises models.ModelError."""
    machine = read_machine()
    names = ("face_detection_full_range", "face_landmark", "iris_landmark")
    detector, mesh, iris = (models.resolve(name, config.model_cache) for name in names)
    vision = VisionConfig(
        detector,
        mesh,
        iris,
        threads=config.threads or machine.threads,
        cores=machine.cores,
        slots=config.slots,
        reader=config.nets,
        nice=config.nice,
    )
    decoders = config.decoders or machine.threads
    _log.info("machine measured", cores=round(machine.cores, 2), threads=vision.threads, decoders=decoders)
    pool = DecoderPool(
        children=decoders,
        limits=_LIMITS,
        decoder="workers.vision.stills:open_decoder",
        warm_up="workers.vision.stills:all_clips",
        output=VIDEO,
    )
    slow_pool = DecoderPool(
        children=1,
        watchdog_seconds=_SLOW_SECONDS,
        limits=_SLOW_LIMITS,
        decoder="workers.vision.stills:open_decoder",
        warm_up="workers.vision.stills:still_clips",
        output=VIDEO,
    )
    return VisionEngine(vision, pool, slow_pool, clock=clock)
