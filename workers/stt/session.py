"""One stream of the speech engine: chunks in, results out, all of its state inside.

`accept`, `flush` and `end` decode and queue audio; `results` drives the recogniser. While nobody reads, no work is
done, and while too much audio is queued, `accept` waits. A session has no tasks of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from talkup.v1 import task_pb2, transcript_pb2

from workers.chunk import Chunk
from workers.delivery.stream import DeliveryStream
from workers.scheduler import ExpiredError, Rank, Scheduler, SchedulerClosedError
from workers.stt import events, state
from workers.stt.audio import AudioSource
from workers.stt.captions import Captions
from workers.stt.decode_job import Counters, DecodeJob, Effort, Purpose
from workers.stt.delivered import replayed_from, spoken
from workers.stt.hypothesis import DecodeRequest, Hypothesis
from workers.stt.ledger import ChunkLedger
from workers.stt.media_input import MediaInput, chunk_after_end
from workers.stt.pace import Pace
from workers.stt.recognizer import Recognizer
from workers.stt.results import deadline_passed, model_failed, speech_result
from workers.stt.tuning import SAMPLE_RATE, milliseconds, samples

_SLICE = SAMPLE_RATE // 2
_INTERIM_LIFE = 0.4
_BEHIND_REPORTED = 2.0
_FLOW_EVERY = 1.0

DecodeScheduler = Scheduler[DecodeRequest, Hypothesis]


@dataclass(frozen=True, slots=True)
class SessionParts:
    """The parts of a session; after a resume, the first `skip` samples of the source are already known.

    `pause`: seconds without a chunk, beyond the media of the last one, after which its words become final. `late` gets
    the lag of each hypothesis that commits, in seconds. `delivery`: measures how something is said, if that is wanted.
    """

    source: AudioSource
    recognizer: Recognizer
    captions: Captions
    ledger: ChunkLedger
    scheduler: DecodeScheduler
    pace: Pace
    media_error: type[Exception]
    delivery: DeliveryStream | None = None
    skip: int = 0
    max_backlog: int = 10 * SAMPLE_RATE
    deadline: float | None = None
    pause: float = 3.0
    clock: Callable[[], float] = time.monotonic
    closed: Callable[[SttSession], None] = lambda _: None
    late: Callable[[float], None] = lambda _: None


class SttSession:
    """See `workers.engine.EngineSession`."""

    def __init__(self, parts: SessionParts) -> None:
        self._parts = parts
        self._recognizer = parts.recognizer
        self._media = MediaInput(
            parts.source, parts.ledger, parts.media_error, skip=parts.skip, first=parts.recognizer.received
        )
        self._arrivals: deque[tuple[int, float]] = deque()
        self._input = asyncio.Event()
        self._room = asyncio.Event()
        self._interim: tuple[DecodeJob, asyncio.Future[Hypothesis]] | None = None
        self._step: tuple[DecodeJob, float, asyncio.Future[Hypothesis]] | None = None
        self._withdrawn: asyncio.Future[Hypothesis] | None = None
        self._closed = False
        self._flow_at = 0.0
        self._fed_at = parts.clock()
        self._patience = parts.pause
        self._behind = False

    @property
    def counters(self) -> Counters:
        """What this stream did, for metrics."""
        return self._recognizer.counters

    async def accept(self, chunk: Chunk) -> None:
        """Decode a chunk and queue its samples; waits while more than `max_backlog` is queued.

        Media that cannot be decoded end the stream: what was heard before becomes final, then `results` raises
        EngineError (media_error). Raises EngineError for a chunk after the end.
        """
        if self._media.ending:
            raise chunk_after_end()
        if self._closed or self._media.failure is not None:
            return
        self._fed_at = self._parts.clock()
        audio = await self._media.decode(chunk)
        if audio is None:
            self._end_hearing()
            return
        self._patience = self._parts.pause + len(audio) / SAMPLE_RATE
        audio = self._media.enter(chunk, audio, self._recognizer.received)
        if self._parts.delivery is not None:
            self._parts.delivery.accept(chunk, self._recognizer.received + len(audio))
        await self._queue_audio(audio)

    async def flush(self, flush_id: int) -> None:
        """See `workers.engine.EngineSession.flush`."""
        if not self._media.ending and self._media.failure is None:
            self._recognizer.flush(flush_id)
            self._input.set()
            self._hurry()

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
            self._apply_ready_interim()
            job = self._recognizer.advance(self._effort())
            self._make_room()
            async for result in self._pending_results():
                yield result
            if job is not None and job.purpose is not Purpose.INTERIM:
                await self._answer(job)
                async for result in self._pending_results():
                    yield result
                for flow in self._flow():
                    yield flow
            elif job is not None:
                self._begin_interim(job)
            elif not self._recognizer.finished:
                await self._wait_for_input()
            elif self._media.failure is not None:
                raise self._media.failure
            else:
                return

    async def close(self) -> None:
        """See `workers.engine.EngineSession.close`."""
        if self._closed:
            return
        self._closed = True
        self._drop_interim()
        self._input.set()
        self._room.set()
        self._parts.closed(self)
        await self._media.close()

    # --- audio in

    async def _queue_audio(self, audio: NDArray[np.float32]) -> None:
        """Queue samples in slices, each when there is room for it."""
        for first in range(0, len(audio), _SLICE):
            await self._wait_for_room()
            if self._closed or self._media.failure is not None:
                return
            now = self._parts.clock()
            self._parts.pace.begin(self._recognizer.received, now)
            self._recognizer.append_samples(audio[first : first + _SLICE])
            self._arrivals.append((self._recognizer.received, now))
            self._input.set()

    async def _wait_for_room(self) -> None:
        while self._backlog() > self._parts.max_backlog and not self._closed:
            self._room.clear()
            await self._room.wait()

    def _make_room(self) -> None:
        if self._backlog() <= self._parts.max_backlog:
            self._room.set()

    def _backlog(self) -> int:
        return self._recognizer.received - self._recognizer.position

    def _end_hearing(self) -> None:
        """No more audio comes: make what was heard final."""
        self._recognizer.end()
        self._input.set()
        self._hurry()

    async def _wait_for_input(self) -> None:
        """Wait for audio, an interim or the end; words do not wait for audio that does not come."""
        left = None
        if self._recognizer.listening and not self._media.ending:
            left = self._fed_at + self._patience - self._parts.clock()
        try:
            async with asyncio.timeout(left):
                await self._input.wait()
        except TimeoutError:
            if not self._input.is_set():
                self._recognizer.pause()

    # --- hypotheses

    def _effort(self) -> Effort:
        """An interim on its way is awaited: where each took longer than the time between two, none would be shown."""
        awaited = self._interim is not None and not self._interim[1].done()
        scheduler, pace = self._parts.scheduler, self._parts.pace
        effort = pace.effort(backlog=self._backlog(), roomy=scheduler.roomy and not awaited, load=scheduler.load)
        return pace.hurried(effort, until_close=self._recognizer.until_mark, withdrawn=self._withdrawn is not None)

    def _hurry(self) -> None:
        """A window is about to close: give up a step of it that is due and has not begun, since the closing hears more.

        Only under load does a step that is due wait. Of audio sent faster than real time, a step is due later.
        """
        if self._step is None or not self._parts.pace.flexible:
            return
        job, due, future = self._step
        near = self._recognizer.received - job.end <= samples(self._parts.pace.tuning.stretched_step)
        is_due = job.purpose is Purpose.STEP and near and due <= self._parts.clock()
        if is_due and self._parts.scheduler.withdraw(future):
            self._withdrawn = future

    async def _answer(self, job: DecodeJob) -> None:
        """Get the hypothesis of a job and apply it. Raises EngineError when the deadline passed or the model failed."""
        self._drop_interim()
        due = self._parts.pace.due(job.end, self._arrived(job.end))
        rank = Rank.CLOSING if job.closing else Rank.STEP
        try:
            future = self._parts.scheduler.submit(
                job.request, rank=rank, due=due, expires=self._parts.deadline, ahead=self._parts.pace.ahead
            )
            self._step = job, due, future
            hypothesis = await self._heard(future)
        except ExpiredError as error:
            raise deadline_passed() from error
        except (RuntimeError, ValueError, MemoryError, SchedulerClosedError) as error:
            raise model_failed() from error
        finally:
            self._step = None
        if hypothesis is None:
            self._recognizer.withdraw(job)
            return
        self._withdrawn = None
        self._parts.pace.done(due, self._parts.clock())
        self._parts.late(self._parts.pace.lag)
        self._recognizer.apply(job, hypothesis)

    async def _heard(self, future: asyncio.Future[Hypothesis]) -> Hypothesis | None:
        """The hypothesis; None: its job was withdrawn."""
        try:
            await asyncio.wait({future})
        finally:
            future.cancel()  # of a session that is cancelled; of one that is done, this changes nothing
        return None if future is self._withdrawn and future.cancelled() else future.result()

    def _arrived(self, position: int) -> float:
        """When the sample before `position` arrived."""
        while len(self._arrivals) > 1 and self._arrivals[0][0] < position:
            self._arrivals.popleft()
        return self._arrivals[0][1] if self._arrivals else self._parts.clock()

    def _begin_interim(self, job: DecodeJob) -> None:
        self._drop_interim()
        now = self._parts.clock()
        future = self._parts.scheduler.submit(job.request, rank=Rank.INTERIM, due=now, expires=now + _INTERIM_LIFE)
        future.add_done_callback(lambda _: self._input.set())
        self._interim = job, future

    def _apply_ready_interim(self) -> None:
        """Show a finished interim; skip one that expired or failed, since the next step follows."""
        if self._interim is None or not self._interim[1].done():
            return
        (job, future), self._interim = self._interim, None
        if not future.cancelled() and future.exception() is None:
            self._recognizer.apply(job, future.result())

    def _drop_interim(self) -> None:
        if self._interim is not None:
            _, future = self._interim
            self._interim = None
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved: an interim that failed or expired meanwhile does not matter

    # --- results out

    async def _pending_results(self) -> AsyncIterator[task_pb2.TaskResult]:
        """The results of the recogniser's events; a commit travels with the final right before it."""
        final: transcript_pb2.Transcript | None = None
        for event in self._recognizer.pop_events():
            if final is not None and not isinstance(event, events.Committed):
                yield task_pb2.TaskResult(transcript=final)
                final = None
            match event:
                case events.Final():
                    final = self._parts.captions.final(event)
                    if self._parts.delivery is not None:
                        self._parts.delivery.say(spoken(event.words), event.language)
                case events.Committed():
                    result = await self._commit(event)
                    if final is not None or result is not None:
                        result = result or task_pb2.TaskResult()
                        if final is not None:
                            result.transcript.CopyFrom(final)
                        yield result
                    final = None
                case events.Interim():
                    interim = self._parts.captions.interim(event)
                    if interim is not None:
                        yield task_pb2.TaskResult(transcript=interim)
                case _:
                    for result in self._mark(event):
                        yield result
        if final is not None:
            yield task_pb2.TaskResult(transcript=final)

    def _mark(self, event: events.Event) -> Iterator[task_pb2.TaskResult]:
        match event:
            case events.SpeechStarted(position):
                yield speech_result(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_STARTED, position)
            case events.SpeechEnded(position):
                yield speech_result(transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED, position)
            case events.Flushed(flush_id):
                yield task_pb2.TaskResult(flushed=task_pb2.Flushed(flush_id=flush_id))
            case events.Ended() if self._media.failure is None:
                segments, received = self._parts.captions.segment_id - 1, self._recognizer.received
                result = self._media.ended(received, segments, self._recognizer.wordless)
                if self._parts.delivery is not None:
                    result.delivery.extend(self._parts.delivery.finish(received))
                yield result
            case _:
                return

    async def _commit(self, event: events.Committed) -> task_pb2.TaskResult | None:
        """How far the stream is committed, and what another worker needs to continue; None: nothing is decoded yet.

        With the delivery of the media up to there.
        """
        delivery = self._parts.delivery
        replay_from = replayed_from(delivery, event.state.replay_from, event.position)
        point = await self._media.restart_at(replay_from)
        if point is None:
            return None
        audio_from, restart = point
        messages = delivery.advance(event.position) if delivery is not None else ()
        progress = self._media.progress(event.position, restart)
        progress.resume_state = state.pack(
            state.ResumeState(
                version=state.VERSION,
                recognizer=msgspec.structs.replace(event.state, replay_from=replay_from),
                segment_id=self._parts.captions.segment_id,
                totals=self._parts.ledger.forget_before(restart.replay_from_sequence),
                audio_from=audio_from,
                decoder=restart.state,
                delivery=delivery.state if delivery is not None else None,
            )
        )
        return task_pb2.TaskResult(progress=progress, delivery=messages)

    def _flow(self) -> Iterator[task_pb2.TaskResult]:
        """Report how far the stream is behind, at most once per second, and once when it has caught up."""
        late = self._parts.pace.lag > _BEHIND_REPORTED
        now = self._parts.clock()
        if (late and now - self._flow_at >= _FLOW_EVERY) or (self._behind and not late):
            self._flow_at, self._behind = now, late
            yield task_pb2.TaskResult(flow=task_pb2.Flow(behind_ms=milliseconds(self._backlog()) if late else 0))
