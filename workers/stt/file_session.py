"""One recording transcribed as a file: chunks in, finals out, all of its state inside.

There are no interims, and nothing is due at any time: the jobs stand behind those of live streams. While the windows
at work and the one behind them are full, `accept` waits, and flow control holds the sender back; nothing is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from workers.chunk import Chunk
from workers.engine import EngineError
from workers.scheduler import ExpiredError, Rank, Scheduler, SchedulerClosedError
from workers.stt import events, file_state, state
from workers.stt.audio import AudioSource, RestartPoint
from workers.stt.captions import Captions
from workers.stt.decode_job import Counters
from workers.stt.file_recognizer import Covered, FileJob, FileRecognizer
from workers.stt.heartbeat import Heartbeat
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.ledger import ChunkLedger
from workers.stt.tuning import FRAME, SAMPLE_RATE, milliseconds

_SLICE = SAMPLE_RATE // 2
_FRAMES_AT_ONCE = 32
"""Frames heard before other streams get their turn: 1 s of media, 3 ms of work."""
_MEDIA_HELD = 8 << 20
"""Bytes of chunks that another worker may need, above which no more are accepted while words are on their way."""
_MEDIA_AT_MOST = 12 << 20
"""Bytes from which a window ends early: the gateway keeps 16 MiB."""


@dataclass(frozen=True, slots=True)
class FileParts:
    """The parts of a session; after a resume, the first `skip` samples of the source are already known."""

    source: AudioSource
    recognizer: FileRecognizer
    captions: Captions
    ledger: ChunkLedger
    scheduler: Scheduler[DecodeRequest, Hypothesis]
    media_error: type[Exception]
    skip: int = 0
    max_backlog: int = 10 * SAMPLE_RATE
    deadline: float | None = None
    clock: Callable[[], float] = time.monotonic
    closed: Callable[[FileSession], None] = lambda _: None


class FileSession:
    """See `workers.engine.EngineSession`."""

    def __init__(self, parts: FileParts) -> None:
        self._parts = parts
        self._recognizer = parts.recognizer
        self._skip = parts.skip
        self._first = parts.recognizer.received
        self._decoding = asyncio.Lock()
        self._input = asyncio.Event()
        self._room = asyncio.Event()
        self._jobs: dict[asyncio.Future[Hypothesis], FileJob] = {}
        self._restart: tuple[int, RestartPoint] | None = None
        self._heartbeat = Heartbeat(parts.clock())
        self._damaged = 0
        self._failure: EngineError | None = None
        self._ending = False
        self._finished = False
        self._closed = False

    @property
    def counters(self) -> Counters:
        """What this stream did, for metrics."""
        return self._recognizer.counters

    async def accept(self, chunk: Chunk) -> None:
        """Decode a chunk and queue its samples; waits while there is no room for them.

        Media that cannot be decoded end the stream: what was heard before becomes final, then `results` raises
        EngineError (media_error). Raises EngineError for a chunk after the end.
        """
        if self._ending:
            raise EngineError(error_pb2.ERROR_CODE_BAD_MESSAGE, "a chunk after the end of the stream", field="chunk")
        if self._closed or self._failure is not None:
            return
        await self._wait_for_media_room()
        try:
            async with self._decoding:
                audio = await self._parts.source.decode(chunk)
        except self._parts.media_error as error:
            self._fail_media(error)
            return
        audio = self._without_known(audio)
        end = self._recognizer.received + len(audio)
        damaged, self._damaged = self._parts.source.damaged_bytes - self._damaged, self._parts.source.damaged_bytes
        self._parts.ledger.add(chunk.sequence, len(chunk.payload), chunk.missing_before, end, damaged)
        self._heartbeat.asked(self._parts.clock())
        await self._queue_audio(audio)

    async def flush(self, flush_id: int) -> None:
        """See `workers.engine.EngineSession.flush`."""
        if not self._ending and self._failure is None:
            self._recognizer.flush(flush_id)
            self._input.set()

    async def end(self) -> None:
        """See `workers.engine.EngineSession.end`."""
        if self._ending or self._closed or self._failure is not None:
            return
        self._ending = True
        try:
            async with self._decoding:
                if self._restart is None:
                    await self._save(self._first)
                self._finished = True
                rest = await self._parts.source.finish()
        except self._parts.media_error as error:
            self._fail_media(error)
            return
        await self._queue_audio(self._without_known(rest))
        self._parts.ledger.close(self._parts.source.damaged_bytes - self._damaged)
        self._recognizer.end()
        self._input.set()

    async def results(self) -> AsyncIterator[task_pb2.TaskResult]:
        """See `workers.engine.EngineSession.results`; read by one reader."""
        while not self._closed:
            self._input.clear()
            self._apply_finished()
            heard = self._recognizer.hear(_FRAMES_AT_ONCE)
            self._submit()
            async for result in self._pending_results():
                self._heartbeat.answered(self._parts.clock())
                yield result
            self._make_room()
            if heard:
                await asyncio.sleep(0)
            elif not self._recognizer.finished:
                if await self._wait_is_long():
                    yield task_pb2.TaskResult(flow=task_pb2.Flow(behind_ms=milliseconds(self._recognizer.unheard)))
            elif self._failure is not None:
                raise self._failure
            else:
                return

    async def close(self) -> None:
        """See `workers.engine.EngineSession.close`."""
        if self._closed:
            return
        self._closed = True
        for future in self._jobs:
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved: nobody waits for it any more
        self._input.set()
        self._room.set()
        self._parts.closed(self)
        await self._parts.source.close()

    # --- audio in

    async def _queue_audio(self, audio: NDArray[np.float32]) -> None:
        """Queue samples in slices, each when there is room for it."""
        for first in range(0, len(audio), _SLICE):
            while self._recognizer.unheard > self._parts.max_backlog and not self._closed:
                await self._wait_for_room()
            if self._closed or self._failure is not None:
                return
            self._recognizer.append_samples(audio[first : first + _SLICE])
            self._input.set()

    async def _wait_for_media_room(self) -> None:
        """Wait while many bytes cannot be forgotten yet; a window of very many is ended, so that they can be."""
        ledger, recognizer = self._parts.ledger, self._recognizer
        while ledger.held_bytes > _MEDIA_HELD and not self._closed:
            if not recognizer.deciding and recognizer.unheard < FRAME:
                if ledger.held_bytes <= _MEDIA_AT_MOST or not recognizer.cut():
                    return
                self._input.set()
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    def _make_room(self) -> None:
        """Let `accept` look again; it decides itself whether there is room."""
        self._room.set()

    def _without_known(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        known = min(self._skip, len(audio))
        self._skip -= known
        return audio[known:]

    def _fail_media(self, error: Exception) -> None:
        """Make what was heard final, then fail: the message of a media error is safe for the wire."""
        self._failure = EngineError(error_pb2.ERROR_CODE_MEDIA_ERROR, str(error) or "media that cannot be decoded")
        self._finished = True
        self._recognizer.end()
        self._input.set()

    # --- hypotheses

    def _submit(self) -> None:
        """Ask the model for everything that can be decoded now."""
        while (job := self._recognizer.next_job()) is not None:
            try:
                future = self._parts.scheduler.submit(
                    job.request, rank=Rank.FILE, due=self._parts.clock(), expires=self._parts.deadline
                )
            except SchedulerClosedError as error:
                raise _failed_model() from error
            future.add_done_callback(lambda _: self._input.set())
            self._jobs[future] = job

    def _apply_finished(self) -> None:
        """Apply the hypotheses that are there. Raises EngineError when the deadline passed or the model failed."""
        for future in [future for future in self._jobs if future.done()]:
            job = self._jobs.pop(future)
            try:
                hypothesis = future.result()
            except ExpiredError as error:
                code = error_pb2.ERROR_CODE_DEADLINE_EXCEEDED
                raise EngineError(code, "the stream's deadline has passed") from error
            except (RuntimeError, ValueError, MemoryError, asyncio.CancelledError) as error:
                raise _failed_model() from error
            self._recognizer.apply(job, hypothesis)

    async def _wait_is_long(self) -> bool:
        """Wait for audio or a hypothesis; True: it takes long, and the caller has to hear that this worker lives."""
        now = self._parts.clock()
        self._heartbeat.worked(self._parts.scheduler.stats.batches, now)
        left = self._heartbeat.next_beat(now, working=bool(self._jobs))
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self._input.wait()
            return False
        now = self._parts.clock()
        self._heartbeat.worked(self._parts.scheduler.stats.batches, now)
        return self._heartbeat.beat(now, working=bool(self._jobs))

    # --- results out

    async def _pending_results(self) -> AsyncIterator[task_pb2.TaskResult]:
        """The results of the recogniser's events; a commit travels with the final right before it."""
        final: transcript_pb2.Transcript | None = None
        for event in self._recognizer.pop_events():
            match event:
                case events.Final():
                    final = self._parts.captions.final(event)
                case Covered():
                    progress = await self._progress(event)
                    if final is not None or progress is not None:
                        yield task_pb2.TaskResult(transcript=final, progress=progress)
                    final = None
                case events.SpeechStarted(position):
                    yield _speech(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_STARTED, position)
                case events.SpeechEnded(position):
                    yield _speech(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED, position)
                case events.Flushed(flush_id):
                    yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=flush_id))
                case events.Ended() if self._failure is None:
                    yield task_pb2.TaskResult(ended=self._totals())

    async def _progress(self, event: Covered) -> task_pb2.Progress | None:
        """How far the stream is committed, and what another worker needs to continue; None: nothing is decoded yet."""
        point = await self._restart_at(event.state.hearing.replay_from)
        if point is None:
            return None
        audio_from, restart = point
        ledger = self._parts.ledger
        progress = task_pb2.Progress(
            committed_media_ms=milliseconds(event.position), replay_from_sequence=restart.replay_from_sequence
        )
        covered = ledger.covered(event.position, restart.replay_from_sequence)
        if covered is not None:
            progress.committed_sequence = covered
        progress.resume_state = file_state.pack(
            file_state.FileResumeState(
                version=state.VERSION,
                file=event.state,
                segment_id=self._parts.captions.segment_id,
                totals=ledger.forget_before(restart.replay_from_sequence),
                audio_from=audio_from,
                decoder=restart.state,
            )
        )
        return progress

    async def _restart_at(self, sample: int) -> tuple[int, RestartPoint] | None:
        """The decoder's restart point for a sample; after the decoder's end or failure, the last one before it."""
        async with self._decoding:
            if not self._finished or self._restart is None:
                await self._save(sample)
            return self._restart

    async def _save(self, sample: int) -> None:
        """Ask the decoder for a restart point; it has none before its first chunk or after it was given up."""
        with suppress(self._parts.media_error):
            self._restart = sample, await self._parts.source.checkpoint(sample)

    def _totals(self) -> task_pb2.Ended:
        totals = self._parts.ledger.totals
        return task_pb2.Ended(
            chunks=totals.chunks,
            bytes=totals.size,
            media_ms=milliseconds(self._recognizer.received),
            missing_chunks=totals.missing,
            damaged_bytes=totals.damaged,
            segments=self._parts.captions.segment_id - 1,
        )


def _failed_model() -> EngineError:
    return EngineError(error_pb2.ERROR_CODE_INTERNAL, "the speech model failed", retryable=True)


def _speech(kind: transcript_pb2.SpeechEventType, position: int) -> task_pb2.TaskResult:
    event = transcript_pb2.SpeechEvent(type=kind, media_time_ms=milliseconds(position))
    return task_pb2.TaskResult(speech_event=event)
