"""The pool of decoder children: one per core, many streams each, replaced when they die.

One task looks after each child: it waits for the child's end and starts the next. A new stream gets the place with the
fewest streams and stays there; when the child of its place is replaced, the stream catches up in the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog
from talkup.v1 import media_pb2

from workers.media.errors import MediaError
from workers.media.frames import MAX_SIDE
from workers.media.isolation.decoder_stream import DecoderStream, StreamLimits, StreamTerms
from workers.media.isolation.outputs import AUDIO, SAMPLE_RATE, Output
from workers.media.isolation.process import ChildConfig, ChildProcess, ChildStartError
from workers.media.isolation.still_stream import StillStream

T = TypeVar("T")

_log = structlog.get_logger()

_FRAME_OVERHEAD_BYTES = 64 << 10
# A frame's record without its picture, at most.
_RECORD_BYTES = 48
_SHORT_LIFE_SECONDS = 1.0
_MAX_PAUSE_SECONDS = 0.5
_FREE_RESTARTS = 3
_WAIT_SECONDS = 15.0
"""How long a stream waits for a child while none lives."""


class PoolFullError(MediaError):
    """Every place in the pool is taken; another worker may have one."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """Bounds of the pool.

    `startup_seconds` for a child to start (0.3 s on an idle core; a busy machine takes longer); `max_streams`
    over all children; from one chunk `max_chunk_seconds` of audio, or `max_chunk_frames` of video with
    `max_chunk_pixels` in all; `address_space_bytes` of one child.
    """

    startup_seconds: float = 60.0
    max_streams: int = 512
    max_chunk_seconds: float = 600.0
    max_chunk_frames: int = 2_400
    max_chunk_pixels: int = 16 * MAX_SIDE * MAX_SIDE
    address_space_bytes: int = 768 << 20
    stream: StreamLimits = field(default_factory=StreamLimits)


class DecoderPool(Generic[T]):
    """Decoders in locked-down child processes.

    `decoder` names the class they run, `package.module:Class`, and `warm_up` the function that gives the clips they
    decode before they lock themselves in. `output` is what they give out.
    """

    def __init__(
        self,
        *,
        children: int,
        watchdog_seconds: float = 1.0,
        limits: PoolLimits | None = None,
        decoder: str = "workers.media.decoder:AudioDecoder",
        warm_up: str = "workers.media.isolation.warmup:audio_clips",
        output: Output[T] = AUDIO,  # type: ignore[assignment]  # the default goes with the default decoder
    ) -> None:
        if children < 1:
            raise ValueError("a pool needs a child")
        self._limits = limits or PoolLimits()
        self._terms = StreamTerms(output, self._limits.stream)
        max_output_samples = int(self._limits.max_chunk_seconds * SAMPLE_RATE)
        max_frames_bytes = self._limits.max_chunk_pixels * 3 // 2 + self._limits.max_chunk_frames * _RECORD_BYTES
        max_output_bytes = max(4 * max_output_samples, max_frames_bytes)
        config = ChildConfig(
            decoder=decoder,
            warm_up=warm_up,
            watchdog_seconds=watchdog_seconds,
            startup_seconds=self._limits.startup_seconds,
            address_space_bytes=self._limits.address_space_bytes,
            max_frame_bytes=max(max_output_bytes, self._limits.stream.max_payload_bytes) + _FRAME_OVERHEAD_BYTES,
            max_streams=self._limits.max_streams,
            max_output_samples=max_output_samples,
            max_output_frames=self._limits.max_chunk_frames,
            max_output_pixels=self._limits.max_chunk_pixels,
        )
        self._places = [_Place(config) for _ in range(children)]
        self._last_id = 0

    @property
    def child_pids(self) -> list[int]:
        """Process ids of the living children."""
        return [place.pid for place in self._places if place.pid is not None]

    @property
    def unconfined(self) -> tuple[str, ...]:
        """The lock-down measures that are not in force on this platform; known after `start`."""
        return self._places[0].unconfined

    @property
    def cold(self) -> tuple[str, ...]:
        """The codecs that could not be warmed up; known after `start`."""
        return self._places[0].cold

    def watch_endings(self, ended: Callable[[str], None]) -> None:
        """Call `ended` whenever a child ended and is replaced, with why: the value of an Ending."""
        for place in self._places:
            place.ended = ended

    async def start(self) -> None:
        """Start every child and log once how they are confined. Raises ChildStartError."""
        try:
            async with asyncio.TaskGroup() as starts:
                for place in self._places:
                    starts.create_task(place.start())
        except ExceptionGroup as failures:
            await self.close()
            raise ChildStartError(str(failures.exceptions[0])) from failures
        except asyncio.CancelledError:
            await self.close()
            raise
        if self.unconfined:
            _log.warning("decoder children are not fully confined", missing=self.unconfined)
        if self.cold:
            _log.warning("decoder children lack codecs", codecs=self.cold)

    def open(self, fmt: media_pb2.MediaFormat, state: bytes | None = None) -> DecoderStream[T]:
        """A stream, new or from a checkpoint's `state`; its decoder is made at the first call. Raises PoolFullError."""
        stream_id, place = self._seat()
        clock = asyncio.get_running_loop().time
        return DecoderStream(stream_id, fmt, state, terms=self._terms, source=place, clock=clock)

    def open_stills(self, fmt: media_pb2.MediaFormat) -> StillStream:
        """A stream of single pictures, for a decoder that takes them. Raises PoolFullError."""
        stream_id, place = self._seat()
        return StillStream(stream_id, fmt, place)

    def _seat(self) -> tuple[int, _Place]:
        """A number for a new stream, and the place with the fewest streams. Raises PoolFullError."""
        place = min(self._places, key=lambda place: len(place.streams))
        if sum(len(place.streams) for place in self._places) >= self._limits.max_streams:
            raise PoolFullError("no decoder is free")
        self._last_id += 1
        place.streams.add(self._last_id)
        return self._last_id, place

    async def close(self) -> None:
        """End every child; pending calls raise MediaError. May be called twice."""
        await asyncio.gather(*(place.close() for place in self._places))


class _Place:
    """One place in the pool: its current child, and the task that replaces it."""

    def __init__(self, config: ChildConfig) -> None:
        self.streams: set[int] = set()
        self.unconfined: tuple[str, ...] = ()
        self.cold: tuple[str, ...] = ()
        self.ended: Callable[[str], None] = lambda _: None
        self._config = config
        self._child: ChildProcess | None = None
        self._changed = asyncio.Condition()
        self._keeper: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child is not None and self._child.alive else None

    async def start(self) -> None:
        self._child = await ChildProcess.spawn(self._config)
        self.unconfined, self.cold = self._child.ready.unconfined, self._child.ready.cold
        self._keeper = asyncio.create_task(self._keep(self._child))

    async def child(self) -> ChildProcess:
        if self._child is not None and self._child.alive:
            return self._child
        try:
            async with asyncio.timeout(min(_WAIT_SECONDS, self._config.startup_seconds)), self._changed:
                while not self._closing:
                    if self._child is not None and self._child.alive:
                        return self._child
                    await self._changed.wait()
        except TimeoutError as error:
            raise MediaError("no decoder is available") from error
        raise MediaError("the decoders are shutting down")

    def leave(self, stream_id: int) -> None:
        self.streams.discard(stream_id)

    async def close(self) -> None:
        self._closing = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        if self._child is not None:
            await self._child.close()
        async with self._changed:
            self._changed.notify_all()

    async def _keep(self, child: ChildProcess) -> None:
        """Replace each child when it ends, at once for the first short-lived ones, then after a growing pause."""
        clock = asyncio.get_running_loop().time
        short_lives = 0
        while True:
            born = clock()
            death = await child.wait()
            self.ended(str(death.ending))
            _log.warning(
                "decoder child replaced",
                code=death.returncode,
                ending=str(death.ending),
                streams=len(self.streams),
            )
            short_lives = short_lives + 1 if clock() - born < _SHORT_LIFE_SECONDS else 0
            while True:
                await asyncio.sleep(_pause(short_lives))
                try:
                    child = await ChildProcess.spawn(self._config)
                    break
                except ChildStartError as error:
                    short_lives += 1
                    _log.error("decoder child does not start", reason=str(error))
            async with self._changed:
                self._child = child
                self._changed.notify_all()


def _pause(short_lives: int) -> float:
    """Seconds to wait before the next start."""
    return (
        min(_MAX_PAUSE_SECONDS, 0.1 * 2.0 ** min(short_lives - _FREE_RESTARTS, 10))
        if short_lives > _FREE_RESTARTS
        else 0.0
    )
