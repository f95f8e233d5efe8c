"""A stream of delivery alone: decoding, voice detection and the analyser, without a model of words.

It commits each second of media. What needs words is not measured; nothing but delivery comes back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from talkup.v1 import error_pb2, task_pb2

from workers.chunk import Chunk
from workers.delivery.state import DeliveryState
from workers.delivery.stream import DeliveryStream, open_delivery
from workers.engine import EngineError
from workers.stt.audio import AudioDecoders, AudioSource
from workers.stt.decode_job import Counters, StreamOptions
from workers.stt.delivered import replayed_from
from workers.stt.hearing import Hearing
from workers.stt.ledger import ChunkLedger
from workers.stt.media_input import MediaInput, chunk_after_end
from workers.stt.state import VERSION, RecognizerState, Totals
from workers.stt.tuning import FRAME, SAMPLE_RATE, Tuning
from workers.stt.vad import VoiceDetector

_SLICE = SAMPLE_RATE // 2
_FRAMES_AT_ONCE = 32
"""Frames heard before other streams get their turn: 1 s of media, 6 ms of work."""
_COMMITTED_EVERY = SAMPLE_RATE
_MAX_RESUMED_AUDIO = 60 * SAMPLE_RATE


class AloneState(msgspec.Struct, frozen=True, kw_only=True):
    """`resume_state` of such a stream. `hearing`: the voice detector's part; the rest as in `ResumeState`."""

    version: int
    hearing: RecognizerState
    delivery: DeliveryState
    totals: Totals
    audio_from: int
    decoder: bytes


def pack(state: AloneState) -> bytes:
    """To the wire."""
    return msgspec.msgpack.encode(state)


def unpack(data: bytes) -> AloneState:
    """From the wire; raises ValueError for bytes that are not a state of delivery alone of this version."""
    try:
        state = msgspec.msgpack.decode(data, type=AloneState)
    except msgspec.DecodeError as error:
        raise ValueError("not a resume state of delivery alone") from error
    hearing = state.hearing
    in_order = 0 <= state.audio_from <= hearing.replay_from <= hearing.vad_frame * FRAME <= hearing.frame * FRAME
    in_order = in_order and hearing.frame * FRAME <= state.audio_from + _MAX_RESUMED_AUDIO
    if state.version != VERSION or not in_order or 2 * (hearing.frame - hearing.track_first) != len(hearing.track):
        raise ValueError("a resume state of another version or with impossible positions")
    return state


@dataclass(frozen=True, slots=True)
class DeliveryModel:
    """What all streams share."""

    tuning: Tuning
    vad: VoiceDetector
    decoders: AudioDecoders
    media_error: type[Exception]
    max_backlog: int


@dataclass(frozen=True, slots=True)
class DeliveryParts:
    """The parts of a session; after a resume, the first `skip` samples of the source are already known."""

    source: AudioSource
    hearing: Hearing
    delivery: DeliveryStream
    ledger: ChunkLedger
    media_error: type[Exception]
    skip: int = 0
    max_backlog: int = 10 * SAMPLE_RATE
    closed: Callable[[DeliverySession], None] = lambda _: None


def open_alone(
    model: DeliveryModel, start: task_pb2.StreamStart, closed: Callable[[DeliverySession], None]
) -> DeliverySession:
    """A session, new or from `start.resume_state`. Raises EngineError for a start that it cannot serve."""
    try:
        saved = unpack(start.resume_state) if start.HasField("resume_state") else None
        hearing_state = saved.hearing if saved else RecognizerState()
        delivery = open_delivery(
            start.delivery, saved.delivery if saved else None, words=False, heard_from=hearing_state.replay_from
        )
        hearing = Hearing(model.vad, model.tuning, StreamOptions(), hearing_state, delivery.listener)
        source = model.decoders.open(start.format, saved.decoder if saved else None)
    except model.media_error as error:
        raise EngineError(error_pb2.ERROR_CODE_UNSUPPORTED_FORMAT, str(error), field="start.format") from error
    except ValueError as error:
        raise EngineError(
            error_pb2.ERROR_CODE_BAD_MESSAGE,
            "this state does not belong to a stream of delivery alone",
            field="start.resume_state",
        ) from error
    return DeliverySession(
        DeliveryParts(
            source=source,
            hearing=hearing,
            delivery=delivery,
            ledger=ChunkLedger(saved.totals if saved else None),
            media_error=model.media_error,
            skip=saved.hearing.replay_from - saved.audio_from if saved else 0,
            max_backlog=model.max_backlog,
            closed=closed,
        )
    )


class DeliverySession:
    """See `workers.engine.EngineSession`."""

    def __init__(self, parts: DeliveryParts) -> None:
        self._parts = parts
        self._hearing = parts.hearing
        self._media = MediaInput(
            parts.source, parts.ledger, parts.media_error, skip=parts.skip, first=parts.hearing.audio.end
        )
        self._committed = parts.hearing.frame * FRAME
        self._flushes: deque[tuple[int, int]] = deque()
        self._input = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False
        self._closed = False
        self.counters = Counters()

    async def accept(self, chunk: Chunk) -> None:
        """Decode a chunk and queue its samples; waits while more than `max_backlog` is queued.

        Media that cannot be decoded end the stream: `results` raises EngineError (media_error) behind what was heard
        before. Raises EngineError for a chunk after the end.
        """
        if self._media.ending:
            raise chunk_after_end()
        if self._closed or self._media.failure is not None:
            return
        audio = await self._media.decode(chunk)
        if audio is None:
            self._end_hearing()
            return
        received = self._hearing.audio.end
        audio = self._media.enter(chunk, audio, received)
        self._parts.delivery.accept(chunk, received + len(audio))
        await self._queue_audio(audio)

    async def flush(self, flush_id: int) -> None:
        """See `workers.engine.EngineSession.flush`."""
        if not self._media.ending and self._media.failure is None:
            self._flushes.append((self._hearing.audio.end, flush_id))
            self._input.set()

    async def end(self) -> None:
        """See `workers.engine.EngineSession.end`."""
        if self._media.ending or self._closed or self._media.failure is not None:
            return
        await self._media.finish(self._queue_audio)
        self._end_hearing()

    async def results(self) -> AsyncIterator[task_pb2.TaskResult]:
        """See `workers.engine.EngineSession.results`; read by one reader."""
        while not self._closed:
            self._input.clear()
            heard = self._hear()
            self._room.set()
            if self._hearing.frame * FRAME - self._committed >= _COMMITTED_EVERY:
                yield await self._commit(self._hearing.position)
            async for result in self._answer_flushes():
                yield result
            if heard:
                await asyncio.sleep(0)
            elif not self._ended:
                await self._input.wait()
            elif self._media.failure is not None:
                raise self._media.failure
            else:
                yield await self._finish()
                return

    async def close(self) -> None:
        """See `workers.engine.EngineSession.close`."""
        if self._closed:
            return
        self._closed = True
        self._input.set()
        self._room.set()
        self._parts.closed(self)
        await self._media.close()

    # --- audio in

    async def _queue_audio(self, audio: NDArray[np.float32]) -> None:
        """Queue samples in slices, each when there is room for it."""
        for first in range(0, len(audio), _SLICE):
            while self._hearing.audio.end - self._hearing.position > self._parts.max_backlog and not self._closed:
                self._room.clear()
                await self._room.wait()
            if self._closed or self._media.failure is not None:
                return
            self._hearing.audio.append(audio[first : first + _SLICE])
            self._input.set()

    def _end_hearing(self) -> None:
        self._ended = True
        self._input.set()

    def _hear(self) -> bool:
        """Hear some frames, no further than the next flush and commit; False: there is no whole one left."""
        for _ in range(_FRAMES_AT_ONCE):
            if self._flush_is_next():
                return True
            if self._hearing.next_frame() is None:
                return False
            self._hearing.forget_before(self._hearing.position)
            if self._hearing.frame * FRAME - self._committed >= _COMMITTED_EVERY:
                return True
        return True

    def _flush_is_next(self) -> bool:
        return bool(self._flushes) and (self._hearing.frame + 1) * FRAME > self._flushes[0][0]

    # --- results out

    async def _answer_flushes(self) -> AsyncIterator[task_pb2.TaskResult]:
        """Everything before a flush that makes a whole frame is heard: commit it, then answer."""
        while self._flush_is_next():
            position, flush_id = self._flushes.popleft()
            yield await self._commit(position)
            yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=flush_id))

    async def _finish(self) -> task_pb2.TaskResult:
        """The totals and the summary, with the last progress."""
        end = self._hearing.audio.end
        result = await self._commit(end)
        ended = self._media.ended(end, 0)
        result.ended.CopyFrom(ended.ended)
        result.delivery.extend(self._parts.delivery.finish(end))
        return result

    async def _commit(self, position: int) -> task_pb2.TaskResult:
        """The delivery of the media before a position, and how another worker goes on from there."""
        self._committed = self._hearing.frame * FRAME
        delivery, hearing = self._parts.delivery, self._hearing
        replay_from = replayed_from(delivery, hearing.saved_vad()[0] * FRAME, position)
        point = await self._media.restart_at(replay_from)
        result = task_pb2.TaskResult(delivery=delivery.advance(position))
        if point is None:
            return result
        audio_from, restart = point
        result.progress.CopyFrom(self._media.progress(position, restart))
        result.progress.resume_state = pack(
            AloneState(
                version=VERSION,
                hearing=RecognizerState(**hearing.saved(), replay_from=replay_from),
                delivery=delivery.state,
                totals=self._parts.ledger.forget_before(restart.replay_from_sequence),
                audio_from=audio_from,
                decoder=restart.state,
            )
        )
        return result
