"""The vision engine: the networks and their threads for all streams; sessions own everything else.

See `workers.engine.Engine`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from talkup.v1 import error_pb2, media_pb2, task_pb2, worker_service_pb2

from workers.capacity import SlotsChange
from workers.engine import EngineError, StreamContext
from workers.media.errors import MediaError
from workers.media.isolation.outputs import Frames
from workers.media.isolation.pool import DecoderPool
from workers.models import ModelError, ResolvedModel
from workers.observer import NO_OBSERVER, EngineObserver
from workers.vision import state
from workers.vision.face_reader import FaceNets
from workers.vision.frame_meter import FrameMeter
from workers.vision.image_source import ImageSource, Stills
from workers.vision.landmarks import Eye, Eyes, Mesh, Region
from workers.vision.nets import NetError, reader
from workers.vision.options import VisionStreamOptions, stream_options
from workers.vision.runner import Runner, session_gives_way
from workers.vision.session import VisionSession, restart_of
from workers.vision.sources import Restart, Source, VideoSource
from workers.vision.stills import IMAGES

FORMATS: Final = ("image/jpeg", "image/png", "image/webp", "video/webm", "video/x-matroska", "video/mp4")
ASSUMED_FPS: Final = 10
"""Frames a second of one stream when slots are counted."""

_STILL: Final = media_pb2.MediaFormat(mime_type="image", container=media_pb2.CONTAINER_JPEG)
_VIDEOS: Final = (media_pb2.CONTAINER_WEBM, media_pb2.CONTAINER_MP4)
_DECODE_SECONDS: Final = 0.002
_DETECTOR_SHARE: Final = 1 / 4
"""At the assumed rate: the detector looks again after 330 ms, and an eye is read on the other frames."""

_TRIALS: Final = 5


@dataclass(frozen=True, slots=True)
class VisionConfig:
    """Weights and machine: `threads` of analysis, `slots` 0 for measured at load, `reader` of the networks by name.

    `cores`: the CPU time per second that the machine grants the threads, less if a quota throttles them.

    `nice`: how far analysis gives way to the other processes of the machine, 0 to 19.
    """

    detector: ResolvedModel
    mesh: ResolvedModel
    iris: ResolvedModel
    threads: int
    cores: float = math.inf
    slots: int = 0
    reader: str = "opencv"
    nice: int = 0

    @property
    def usable_cores(self) -> float:
        """What the threads can use, in CPU seconds per second."""
        return min(self.threads, self.cores)

    @property
    def models(self) -> tuple[ResolvedModel, ...]:
        """In the order in which they run."""
        return self.detector, self.mesh, self.iris


class VisionEngine:
    """Behaviour signals for many live streams; owns the decoder children of its videos and pictures.

    `clock` gives seconds; by it a frame is stale.
    """

    def __init__(
        self,
        config: VisionConfig,
        pool: DecoderPool[Frames],
        slow_pool: DecoderPool[Frames],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`slow_pool` decodes the pictures that take long; `pool` everything else."""
        self._config = config
        self._pool = pool
        self._slow_pool = slow_pool
        self._clock = clock
        self._observer: EngineObserver = NO_OBSERVER
        self._runner: Runner | None = None
        self._meter: FrameMeter | None = None

    @property
    def service_type(self) -> task_pb2.ServiceType:
        return task_pb2.SERVICE_TYPE_VISION

    @property
    def models(self) -> tuple[ResolvedModel, ...]:
        """The weights in use: detector, mesh, irises."""
        return self._config.models

    async def load(self) -> None:
        """Start the decoder children while the networks load and a frame is measured. Raises ModelError."""
        if self._runner is None:
            _, _, (nets, frame_cost) = await asyncio.gather(
                self._pool.start(), self._slow_pool.start(), asyncio.to_thread(self._load)
            )
            cores = self._config.usable_cores
            self._meter = FrameMeter(frame_cost, len(nets), cores, ASSUMED_FPS)
            session_gives_way(self._config.nice)
            self._runner = Runner(nets, self._config.nice, cores=cores, meter=self._meter, observer=self._observer)

    def observe(self, observer: EngineObserver) -> None:
        """See `workers.engine.Engine.observe`."""
        self._observer = observer
        for pool in (self._pool, self._slow_pool):
            pool.watch_endings(observer.decoder_ended)

    def describe(self) -> worker_service_pb2.DescribeResponse:
        """Models and formats. Languages: none."""
        models = [
            task_pb2.ModelInfo(name=model.name, sha256=model.sha256, device="cpu", compute_type="float32")
            for model in self._config.models
        ]
        return worker_service_pb2.DescribeResponse(service_type=self.service_type, models=models, formats=FORMATS)

    def default_slots(self) -> int:
        """Streams of 10 frames per second at three quarters of the threads, as `load` or `review` found last."""
        return self._config.slots or (self._meter.capacity.slots if self._meter else 1)

    async def review(self) -> SlotsChange | None:
        """See `workers.engine.Engine.review`. A worker without a stream measures itself."""
        meter, runner = self._meter, self._runner
        if meter is None or runner is None or self._config.slots:
            return None
        if not runner.streams and meter.measurement_due():
            found = await runner.on_all(_frame_cost)
            if found is not None:
                meter.measured(found)
        return meter.review()

    def totals(self) -> Mapping[str, float]:
        """See `workers.engine.Engine.totals`; frames are counted by the gateway."""
        return {}

    def open(self, start: task_pb2.StreamStart, context: StreamContext) -> VisionSession:
        """See `workers.engine.Engine.open`."""
        if self._runner is None:
            raise EngineError(error_pb2.ERROR_CODE_BUSY, "the networks are not loaded", retryable=True)
        options = stream_options(start.vision)
        saved = _saved(start.resume_state) if start.HasField("resume_state") else None
        source = self._source(start, options, restart_of(saved))
        return VisionSession(source, self._runner, options, saved, clock=self._clock)

    async def close(self) -> None:
        """Stop the threads, then the children."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.close()
        await self._pool.close()
        await self._slow_pool.close()

    def _source(self, start: task_pb2.StreamStart, options: VisionStreamOptions, restart: Restart) -> Source:
        fmt = start.format
        sniffed = start.kind if fmt.container == media_pb2.CONTAINER_SNIFF else media_pb2.MEDIA_KIND_UNSPECIFIED
        if fmt.container in IMAGES or sniffed == media_pb2.MEDIA_KIND_IMAGE:
            stills = Stills(partial(self._pool.open_stills, _STILL), partial(self._slow_pool.open_stills, _STILL))
            return ImageSource(restart, options, stills, self._clock)
        if fmt.container in _VIDEOS or sniffed == media_pb2.MEDIA_KIND_VIDEO:
            try:
                return VideoSource(self._pool.open(fmt, restart.decoder), restart)
            except MediaError as error:
                raise EngineError(error_pb2.ERROR_CODE_BUSY, str(error), retryable=True) from error
        raise EngineError(
            error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, "supported: JPEG, PNG, WebP, WebM and MP4", field="start.format"
        )

    def _load(self) -> tuple[list[FaceNets], float]:
        detector, mesh, iris = (model.path for model in self._config.models)
        try:
            read = reader(self._config.reader)
            nets = [FaceNets(detector, mesh, iris, read) for _ in range(self._config.threads)]
        except NetError as error:
            raise ModelError(str(error)) from error
        for each in nets[1:]:  # a first run takes longest: no stream's first frame pays for it
            _networks_cost(each, trials=1)
        cost, _ = _frame_cost(nets[0])
        return nets, cost


def _frame_cost(nets: FaceNets) -> tuple[float, float]:
    """Seconds of CPU time that a frame takes, and the seconds that pass for these on a thread."""
    began, cpu_before = time.monotonic(), time.thread_time()
    cost = _DECODE_SECONDS + _networks_cost(nets)
    stretch = (time.monotonic() - began) / (time.thread_time() - cpu_before)
    return cost, cost * max(1.0, stretch)


def _networks_cost(nets: FaceNets, trials: int = _TRIALS) -> float:
    """CPU time of a frame's networks, seconds: the mesh always, the detector on every fourth, else an eye."""
    picture = np.full((480, 640, 3), 128, dtype=np.uint8)
    y, x = np.mgrid[0:18, 0:26].astype(np.float32) * 8
    points = np.zeros((468, 3), dtype=np.float32)
    points[:, 0], points[:, 1] = 200 + x.ravel(), 150 + y.ravel()
    mesh, shut = Mesh(points, 1.0), Eye(0.0, 0.0, 0.0)
    fastest = float("inf")
    for _ in range(trials):
        began = time.thread_time()
        nets.detector.detect(picture)
        detected = time.thread_time()
        nets.eyes.read(picture, mesh, 0, Eyes(shut, shut))
        seen = time.thread_time()
        nets.mesh.read(picture, Region(320.0, 240.0, 200.0, 0.0))
        followed = time.thread_time() - seen
        looked = (detected - began) * _DETECTOR_SHARE + (seen - detected) * (1 - _DETECTOR_SHARE)
        fastest = min(fastest, looked + followed)
    return fastest


def _saved(data: bytes) -> state.VisionState:
    try:
        return state.unpack(data)
    except ValueError as error:
        raise EngineError(
            error_pb2.ERROR_CODE_BAD_MESSAGE,
            "this state does not belong to a vision stream",
            field="start.resume_state",
        ) from error
