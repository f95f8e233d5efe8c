"""One recording transcribed as a file: chunks in, finals out, all of its state inside.

There are no interims, and nothing is due at any time: the jobs queue behind those of live streams. While the windows
in decoding and the one behind them are full, `accept` waits, and flow control slows the sender; nothing is dropped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from talkup.v1 import task_pb2, transcript_pb2

from workers.chunk import Chunk
from workers.delivery.stream import DeliveryStream
from workers.scheduler import ExpiredError, Rank, Scheduler, SchedulerClosedError
from workers.stt import events, file_state, state
from workers.stt.audio import AudioSource
from workers.stt.captions import Captions
from workers.stt.decode_job import Counters
from workers.stt.delivered import replayed_from, spoken
from workers.stt.file_recognizer import Covered, FileJob, FileRecognizer
from workers.stt.heartbeat import Heartbeat
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.ledger import ChunkLedger
from workers.stt.media_input import MediaInput, chunk_after_end
from workers.stt.results import deadline_passed, model_failed, speech_result
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
    delivery: DeliveryStream | None = None
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
        self._media = MediaInput(
            parts.source, parts.ledger, parts.media_error, skip=parts.skip, first=parts.recognizer.received
        )
        self._input = asyncio.Event()
        self._room = asyncio.Event()
        self._jobs: dict[asyncio.Future[Hypothesis], FileJob] = {}
        self._heartbeat = Heartbeat(parts.clock())
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
        if self._media.ending:
            raise chunk_after_end()
        if self._closed or self._media.failure is not None:
            return
        await self._wait_for_media_room()
        audio = await self._media.decode(chunk)
        if audio is None:
            self._end_hearing()
            return
        audio = self._media.enter(chunk, audio, self._recognizer.received)
        if self._parts.delivery is not None:
            self._parts.delivery.accept(chunk, self._recognizer.received + len(audio))
        self._heartbeat.asked(self._parts.clock())
        await self._queue_audio(audio)

    async def flush(self, flush_id: int) -> None:
        """See `workers.engine.EngineSession.flush`."""
        if not self._media.ending and self._media.failure is None:
            self._recognizer.flush(flush_id)
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
            elif self._media.failure is not None:
                raise self._media.failure
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
        await self._media.close()

    # --- audio in

    async def _queue_audio(self, audio: NDArray[np.float32]) -> None:
        """Queue samples in slices, each when there is room for it."""
        for first in range(0, len(audio), _SLICE):
            while self._recognizer.unheard > self._parts.max_backlog and not self._closed:
                await self._wait_for_room()
            if self._closed or self._media.failure is not None:
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

    def _end_hearing(self) -> None:
        """No more audio comes: make what was heard final."""
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
                raise model_failed() from error
            future.add_done_callback(lambda _: self._input.set())
            self._jobs[future] = job

    def _apply_finished(self) -> None:
        """Apply the hypotheses that are there. Raises EngineError when the deadline passed or the model failed."""
        for future in [future for future in self._jobs if future.done()]:
            job = self._jobs.pop(future)
            try:
                hypothesis = future.result()
            except ExpiredError as error:
                raise deadline_passed() from error
            except (RuntimeError, ValueError, MemoryError, asyncio.CancelledError) as error:
                raise model_failed() from error
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
                    if self._parts.delivery is not None:
                        self._parts.delivery.say(spoken(event.words), event.language)
                case Covered():
                    result = await self._commit(event)
                    if final is not None or result is not None:
                        result = result or task_pb2.TaskResult()
                        if final is not None:
                            result.transcript.CopyFrom(final)
                        yield result
                    final = None
                case events.SpeechStarted(position):
                    yield speech_result(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_STARTED, position)
                case events.SpeechEnded(position):
                    yield speech_result(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED, position)
                case events.Flushed(flush_id):
                    yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=flush_id))
                case events.Ended() if self._media.failure is None:
                    received = self._recognizer.received
                    result = self._media.ended(received, self._parts.captions.segment_id - 1)
                    if self._parts.delivery is not None:
                        result.delivery.extend(self._parts.delivery.finish(received))
                    yield result

    async def _commit(self, event: Covered) -> task_pb2.TaskResult | None:
        """How far the stream is committed, and what another worker needs to continue; None: nothing is decoded yet.

        With the delivery of the media up to there.
        """
        delivery, hearing = self._parts.delivery, event.state.hearing
        replay_from = replayed_from(delivery, hearing.replay_from, event.position)
        point = await self._media.restart_at(replay_from)
        if point is None:
            return None
        audio_from, restart = point
        messages = delivery.advance(event.position) if delivery is not None else ()
        hearing = msgspec.structs.replace(hearing, replay_from=replay_from)
        progress = self._media.progress(event.position, restart)
        progress.resume_state = file_state.pack(
            file_state.FileResumeState(
                version=state.VERSION,
                file=msgspec.structs.replace(event.state, hearing=hearing),
                segment_id=self._parts.captions.segment_id,
                totals=self._parts.ledger.forget_before(restart.replay_from_sequence),
                audio_from=audio_from,
                decoder=restart.state,
                delivery=delivery.state if delivery is not None else None,
            )
        )
        return task_pb2.TaskResult(progress=progress, delivery=messages)
