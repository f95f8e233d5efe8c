"""One picture stream of the fake engine: a one-slot mailbox where the newest frame wins, and honest drop counts.

The identity `frames_received = frames_analyzed + dropped` holds in every message that carries the numbers.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from talkup.v1 import analysis_pb2, error_pb2, task_pb2

from workers.chunk import Chunk
from workers.engine import EngineError
from workers.fake.script import Faults

FRAME_MS: Final = 100  # the media clock of frames without a capture time
_FLOW_EVERY: Final = 10
_STATE_VERSION: Final = 1

_Count = Annotated[int, msgspec.Meta(ge=0)]


class VisionState(msgspec.Struct, frozen=True, array_like=True):
    """`resume_state` of a picture stream: what was counted up to the last analysed frame."""

    version: int = _STATE_VERSION
    received: _Count = 0
    analyzed: _Count = 0
    bytes: _Count = 0
    missing: _Count = 0
    first_capture_ms: int | None = None
    media_ms: _Count = 0


class VisionSession:
    """EngineSession over pictures; the reader of `results` analyses the frames."""

    def __init__(self, start: task_pb2.StreamStart, faults: Faults) -> None:
        """Raises EngineError for a resume_state that no fake engine made."""
        self._state = decode_state(start.resume_state) if start.HasField("resume_state") else VisionState()
        self._faults = faults
        self._frame: tuple[Chunk, VisionState] | None = None
        self._last_sequence: int | None = None
        self._flushes: list[int] = []
        self._analyzed = self._state.analyzed
        self._media_ms = self._state.media_ms
        self._ending = False
        self._closed = False
        self._changed = asyncio.Condition()

    async def accept(self, chunk: Chunk) -> None:
        await self._faults.on_chunk(chunk)
        async with self._changed:
            state = self._state
            first = state.first_capture_ms
            if first is None and chunk.capture_ms is not None:
                first = chunk.capture_ms
            self._state = msgspec.structs.replace(
                state,
                received=state.received + 1,
                bytes=state.bytes + len(chunk.payload),
                missing=state.missing + chunk.missing_before,
                first_capture_ms=first,
            )
            self._frame = (chunk, self._state)
            self._changed.notify_all()

    async def flush(self, flush_id: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._frame is None or self._closed)
            self._flushes.append(flush_id)
            self._changed.notify_all()

    async def end(self) -> None:
        async with self._changed:
            self._ending = True
            self._changed.notify_all()

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def results(self) -> AsyncIterator[task_pb2.TaskResult]:
        while not self._closed:
            async with self._changed:
                await self._changed.wait_for(lambda: self._frame or self._flushes or self._ending or self._closed)
                frame, self._frame = self._frame, None
                flushes, self._flushes = self._flushes, []
                last = self._ending and frame is None
                self._changed.notify_all()
            for flush_id in flushes:  # what came before a flush is analysed, so its answer comes before this frame
                yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=flush_id))
            if frame is not None:
                await self._faults.pace(FRAME_MS)
                for result in self._analyze(*frame):
                    if not self._faults.muted:
                        yield result
            if last and not self._closed and not self._faults.muted:
                if self._analyzed:
                    yield self._window()
                yield self._ended()
                return

    def _analyze(self, chunk: Chunk, state: VisionState) -> list[task_pb2.TaskResult]:
        self._analyzed += 1
        self._last_sequence = chunk.sequence
        self._media_ms = _media_ms(chunk, state)
        frame = _signals(zlib.crc32(chunk.payload))
        analysis = analysis_pb2.Analysis(
            schema_version=1, frame_seq=chunk.sequence, media_time_ms=self._media_ms, frame=frame
        )
        if chunk.capture_ms is not None:
            analysis.captured_at_unix_ms = chunk.capture_ms
        covered = msgspec.structs.replace(state, analyzed=self._analyzed, media_ms=self._media_ms)
        progress = task_pb2.Progress(
            committed_sequence=chunk.sequence,
            committed_media_ms=self._media_ms,
            replay_from_sequence=chunk.sequence + 1,
            resume_state=msgspec.msgpack.encode(covered),
        )
        results = [task_pb2.TaskResult(analysis=analysis, progress=progress)]
        if self._analyzed % _FLOW_EVERY == 0:
            flow = task_pb2.Flow(
                frames_received=state.received,
                frames_decoded=self._analyzed,
                frames_analyzed=self._analyzed,
                dropped=_dropped(state.received - self._analyzed),
            )
            results.append(task_pb2.TaskResult(flow=flow))
        return results

    def _window(self) -> task_pb2.TaskResult:
        window = analysis_pb2.WindowSignals(t0_ms=0, t1_ms=self._media_ms, whole_session=True, frames=self._analyzed)
        analysis = analysis_pb2.Analysis(
            schema_version=1, frame_seq=self._last_sequence or 0, media_time_ms=self._media_ms, window=window
        )
        return task_pb2.TaskResult(analysis=analysis)

    def _ended(self) -> task_pb2.TaskResult:
        state = self._state
        return task_pb2.TaskResult(
            ended=task_pb2.Ended(
                chunks=state.received,
                bytes=state.bytes,
                media_ms=self._media_ms,
                missing_chunks=state.missing,
                dropped=_dropped(state.received - self._analyzed),
            )
        )


def _dropped(count: int) -> list[task_pb2.DropCount]:
    return [task_pb2.DropCount(reason=task_pb2.DROP_REASON_OVERLOAD, count=count)] if count else []


def _signals(digest: int) -> analysis_pb2.FrameSignals:
    """Made of a picture's checksum: one or two faces, the first near the middle, looking around."""

    def measure(value: float) -> analysis_pb2.Measure:
        return analysis_pb2.Measure(value=value, confidence=1.0)

    return analysis_pb2.FrameSignals(
        face_count=1 + digest % 2,
        face=analysis_pb2.Face(box=analysis_pb2.Box(x=0.36, y=0.2, width=0.28, height=0.5), score=1.0, track_id=1),
        head=analysis_pb2.HeadPose(yaw=measure(digest % 21 - 10), pitch=measure(digest % 11 - 5), roll=measure(0.0)),
        gaze=analysis_pb2.Gaze(facing_camera=measure(0.75)),
        motion=measure((digest % 1000) / 1000),
    )


def _media_ms(chunk: Chunk, state: VisionState) -> int:
    """By the capture clock where the sender gives one, else by counting frames."""
    if chunk.capture_ms is not None and state.first_capture_ms is not None:
        return max(0, chunk.capture_ms - state.first_capture_ms)
    return (state.received - 1) * FRAME_MS


def decode_state(encoded: bytes) -> VisionState:
    """Raises EngineError for bytes that no fake engine made."""
    try:
        state = msgspec.msgpack.decode(encoded, type=VisionState)
    except msgspec.DecodeError:
        state = None
    if state is None or state.version != _STATE_VERSION:
        raise EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, "not a state of this engine", field="start.resume_state")
    return state
