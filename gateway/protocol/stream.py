"""One media stream: chunks become requests to its services, and their results become messages to the client.

`Intake` orders and numbers what the client sends, `Services` tracks what each service has done with it, and `Segments`
holds the text. The stream combines them: it turns what they return into actions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import UNSET, UnsetType
from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from gateway.protocol import messages as m
from gateway.protocol import translate
from gateway.protocol.actions import (
    Action,
    ForwardTask,
    OpenTask,
    SendMessage,
    StoreSegment,
    StoreSnapshot,
    StoreStreamEnd,
    TaskKey,
)
from gateway.protocol.analyses import with_writes
from gateway.protocol.chunk import Chunk, NumberedChunk
from gateway.protocol.delivery import StreamDelivery
from gateway.protocol.errors import Code, Problem
from gateway.protocol.intake import Dropped, Hole, Intake, IntakeEvent, problem_of
from gateway.protocol.limits import Limits
from gateway.protocol.negotiation import StreamSpec, service_name
from gateway.protocol.segments import Segments
from gateway.protocol.services import MAX_FLUSHES, ServiceProgress, Services
from gateway.protocol.snapshot import RestoredStream, StreamSnapshot, spec_of
from gateway.protocol.states import STREAM_TABLE, StreamMove, StreamPhase, advance
from gateway.protocol.status import with_terms
from gateway.protocol.stream_end import ended_message
from gateway.protocol.totals import Totals
from gateway.protocol.translate_vision import analysis_message

# More than the attempts of a stream at one gateway; attempt numbers have 32 bits.
_ATTEMPTS_PER_GENERATION: Final = 100_000


class Stream:
    """A stream from `stream_start` to `stream_ended`. `handle` identifies it in tagged frames."""

    def __init__(self, session_id: str, spec: StreamSpec, handle: int, limits: Limits) -> None:
        self.spec = spec
        self.handle = handle
        self.phase = StreamPhase.OPEN
        self.ended_message: m.StreamEnded | None = None
        self.implicit = False
        self.segments = Segments(spec.stream_id, words=spec.speech.word_timestamps, kept=limits.kept_segments)
        self._session_id = session_id
        self._keys = {service: TaskKey(spec.stream_id, service) for service in spec.services}
        self._limits = limits
        self._totals = Totals()
        self._intake = Intake(spec, limits, self._totals)
        self._services = Services(spec.services)
        self.delivery = None if spec.delivery is None else StreamDelivery(spec, spec.delivery, limits.kept_segments)
        self._generation = 0
        self._ack_at = 0.0
        self._ack_due = False

    @classmethod
    def restored(cls, session_id: str, left: RestoredStream, limits: Limits) -> Stream:
        """Restore a stream that another gateway held. Raises SnapshotError."""
        stream = cls(session_id, spec_of(left.snapshot), left.snapshot.handle, limits)
        stream._restore(left)
        return stream

    @property
    def stream_id(self) -> str:
        return self.spec.stream_id

    @property
    def is_open(self) -> bool:
        """Whether the stream accepts chunks."""
        return self.phase is StreamPhase.OPEN

    @property
    def committed(self) -> int:
        """The client may forget every chunk up to here; -1: none yet."""
        return min(self._intake.to_client(self._services.committed), self._intake.next_sequence - 1)

    @property
    def heard_ms(self) -> float:
        """Every word before this media time is final; infinity: the stream is over."""
        speech = self._services.get(task_pb2.SERVICE_TYPE_STT)
        return math.inf if speech is None else speech.media_ms

    @property
    def awaits_results(self) -> bool:
        """Whether a flush or the end is still unanswered."""
        return self._services.has_open_flushes or self.phase is StreamPhase.ENDING

    def start(self, now: float) -> list[Action]:
        """Open a call per service and send the client the terms."""
        opened = [
            OpenTask(self._keys[service], translate.start_request(self._session_id, self.spec, service))
            for service in self.spec.services
        ]
        return [*opened, StoreSnapshot(self.snapshot()), self._acknowledge(now, accepted=True)]

    def reopen_calls(self, now: float) -> list[Action]:
        """Open the calls of a restored stream again, each after what its service has committed."""
        if not self.is_open:
            return []
        actions: list[Action] = [StoreSnapshot(self.snapshot())]
        for service, resume_state in self._services.resume_states().items():
            request = translate.start_request(self._session_id, self.spec, service)
            # Above every attempt of earlier gateways: one of them may still hold a call at the same worker.
            request.attempt = self._generation * _ATTEMPTS_PER_GENERATION
            if resume_state:
                request.start.resume_state = resume_state
            actions.append(OpenTask(self._keys[service], request, resumed=True))
        return actions + self._finish_if_done()

    def chunk(self, sequence: int | None, payload: bytes, capture_ms: int | None, now: float) -> list[Action]:
        """Accept a chunk; `sequence` None: the next one. Raises IllegalMoveError unless the stream is open."""
        if self.phase is not StreamPhase.OPEN:  # an open stream stays open; to look that up costs 1 µs a chunk
            self.phase = advance(STREAM_TABLE, self.phase, StreamMove.CHUNK)
        number = self._intake.next_unused if sequence is None else sequence
        actions = self._forward(self._intake.offer(Chunk(number, payload, capture_ms, now)))
        if self._totals.bytes > self._limits.max_stream_bytes:
            return [*actions, *self._over_limit("bytes", now)]
        return actions + self._acknowledge_soon(now)

    def flush(self, flush_id: int | None) -> list[Action] | Problem:
        """Request final text of everything received. Returns a Problem if too many flushes are unanswered.

        Raises IllegalMoveError unless the stream is open.
        """
        actions = self._flush(flush_id, bounded=True)
        if actions is None:
            text = f"flush_id: {MAX_FLUSHES} flushes are unanswered; wait for an answer"
            return Problem(Code.RATE_LIMITED, text, stream_id=self.stream_id, field="flush_id")
        return actions

    def flush_for_drain(self) -> list[Action]:
        """The gateway is draining: flush the stream, however many flushes are open."""
        return self._flush(None, bounded=False) or []

    def _flush(self, flush_id: int | None, *, bounded: bool) -> list[Action] | None:
        self.phase = advance(STREAM_TABLE, self.phase, StreamMove.FLUSH)
        flush = self._services.open_flush(flush_id, bounded=bounded)
        if flush is None:
            return None
        actions = self._forward(self._intake.release_headers())
        for service in flush.services:
            actions.append(ForwardTask(self._keys[service], translate.flush_request(flush.number)))
        return actions

    def end(self, now: float) -> list[Action]:
        """End the stream; `stream_ended` follows the services' last results. Raises IllegalMoveError unless open."""
        self.phase = advance(STREAM_TABLE, self.phase, StreamMove.END)
        return self._forward(self._intake.drain()) + [
            ForwardTask(self._keys[service], translate.end_request()) for service in self._services.live
        ]

    def tick(self, now: float) -> list[Action]:
        """Do what is due: give up holes, send a delayed acknowledgement."""
        actions: list[Action] = []
        if self.is_open and (events := self._intake.poll(now)):
            actions += self._forward(events)
            self._ack_due = True
        if self._ack_due and now >= self._ack_at + self._limits.ack_interval:
            actions.append(self._acknowledge(now))
        return actions

    def deadline(self) -> float | None:
        """When `tick` is due, UNIX seconds; None: never."""
        hole = self._intake.deadline() if self.is_open else None
        if not self._ack_due:
            return hole
        acknowledge = self._ack_at + self._limits.ack_interval
        return acknowledge if hole is None else min(hole, acknowledge)

    def pause(self) -> None:
        """The client lost its connection."""
        self._intake.pause()

    def proceed(self, now: float) -> None:
        """The client is connected again."""
        self._intake.proceed(now)

    def result(self, service: task_pb2.ServiceType, result: task_pb2.TaskResult, now: float) -> list[Action]:
        """Handle a result of one of the services; results of a service that has ended are dropped."""
        part = self._services.get(service)
        if part is None:
            return []
        actions = self._handle(service, part, result, now)
        if self.delivery is not None:
            actions += map(SendMessage, self.delivery.accept(result.delivery))
        if result.HasField("progress"):
            advance = self._advance(service, result.progress, now)
            actions = [*with_writes(actions, self.stream_id, self.snapshot()), *advance]
        else:
            actions = with_writes(actions, self.stream_id, None)
        if part.live:
            return actions
        return actions + self._answer_flushes(service, now) + self._finish_if_done()

    def report(self, event: m.EventData) -> list[Action]:
        """Report an event that the session has seen, unless an earlier gateway did or the stream is over."""
        if self.delivery is None or self.ended_message is not None or (message := self.delivery.report(event)) is None:
            return []
        return with_writes([SendMessage(message)], self.stream_id, self.snapshot())

    def failover(self, service: task_pb2.ServiceType, replayed_from: int) -> list[Action]:
        """A worker was replaced; its successor gets the chunks from worker sequence `replayed_from` on."""
        if self._services.get(service) is None:
            return []
        self._totals.failovers += 1
        sequence = max(0, self._intake.to_client(replayed_from))
        return [SendMessage(translate.failover_message(self.stream_id, service, replayed_from=sequence))]

    def snapshot(self) -> StreamSnapshot:
        """The stream as another gateway would have to continue it."""
        spec, committed = self.spec, self._services.committed
        ended = self.phase is StreamPhase.ENDED
        return StreamSnapshot(
            stream_id=spec.stream_id,
            handle=self.handle,
            kind=spec.kind,
            format=spec.format.SerializeToString(),
            speech=spec.speech.SerializeToString(),
            vision=spec.vision.SerializeToString(),
            tagged=spec.tagged,
            packets=spec.packets,
            implicit=self.implicit,
            ended=ended,
            generation=self._generation,
            totals=self._intake.totals_at(committed),
            next_worker_sequence=committed + 1,
            next_sequence=self._intake.sequence_after(committed),
            received=self._intake.next_sequence - 1,
            parts=self._services.snapshot(ended=ended),
            delivery=None if self.delivery is None else self.delivery.snapshot(),
        )

    def state(self) -> m.StreamState:
        """The stream's state, for `session` and `status`."""
        return m.StreamState(
            stream_id=self.stream_id,
            state=self.phase.value,
            handle=self.handle,
            next_sequence=self._intake.next_sequence,
            received=self._intake.next_sequence - 1,
            committed=self.committed,
            last_segment_id=self.segments.last_final_id,
        )

    # --- for another gateway ---

    def _restore(self, left: RestoredStream) -> None:
        snapshot = left.snapshot
        if self.delivery is not None and snapshot.delivery is not None:
            self.delivery.restore(snapshot.delivery, left.analyses)
        for final in left.finals:
            self._accept(final)
        self._generation = snapshot.generation + 1
        self.segments.begin_generation(self._generation)
        self.implicit = snapshot.implicit
        # In place: the intake counts in the same object.
        for name in Totals.__struct_fields__:
            setattr(self._totals, name, getattr(snapshot.totals, name))
        self._intake.resume(snapshot.next_worker_sequence, snapshot.next_sequence, snapshot.received)
        self._services.restore(snapshot.parts, snapshot.next_worker_sequence - 1, ended=snapshot.ended)
        if snapshot.ended:
            self.phase = StreamPhase.ENDED
            self.ended_message = self._ended()

    # --- to the services ---

    def _forward(self, events: Iterable[IntakeEvent]) -> list[Action]:
        actions: list[Action] = []
        for event in events:
            match event:
                case NumberedChunk():
                    for service, missing in self._services.forward(event.worker_sequence):
                        request = translate.chunk_request(self.spec, service, event, missing)
                        actions.append(ForwardTask(self._keys[service], request))
                case Hole() | Dropped():
                    actions.append(self._report(problem_of(event)))
        return actions

    # --- results ---

    def _handle(
        self, service: task_pb2.ServiceType, part: ServiceProgress, result: task_pb2.TaskResult, now: float
    ) -> list[Action]:
        match result.WhichOneof("result"):
            case "transcript":
                return self._transcript(result)
            case "analysis":
                return [SendMessage(analysis_message(self.stream_id, service, result.analysis))]
            case "speech_event":
                message = translate.speech_event_message(self.stream_id, result.speech_event)
                return [] if message is None else [SendMessage(message)]
            case "flow":
                part.dropped = tuple(result.flow.dropped) or part.dropped
                return [SendMessage(translate.flow_message(self.stream_id, service, result.flow))]
            case "flushed":
                return self._answer_flushes(service, now, result.flushed.flush_id)
            case "ended":
                self._services.ended(service, result.ended)
                self._totals.note_ended(result.ended.damaged_bytes, result.ended.speech_without_words_ms)
                return []
            case "error":
                part.live = not result.error.fatal
                return self._worker_error(service, result.error)
            case _:
                return []

    def _transcript(self, result: task_pb2.TaskResult) -> list[Action]:
        transcript = result.transcript
        if not transcript.is_final and not self.spec.speech.interim_results:
            return []
        message = self._accept(transcript)
        if message is None:
            return []
        transcript.revision = message.data.revision
        # Stored before it is sent: what a client has seen stays readable.
        stored: list[Action] = [StoreSegment(self.stream_id, result)] if transcript.is_final else []
        return [*stored, SendMessage(message)]

    def _accept(self, transcript: transcript_pb2.Transcript) -> m.TranscriptUpdate | None:
        message = self.segments.accept(transcript)
        if self.delivery is not None and message is not None and message.data.is_final:
            self.delivery.hear(transcript)
        return message

    def _worker_error(self, service: task_pb2.ServiceType, error: error_pb2.Error) -> list[Action]:
        problem = translate.problem_of(error, self._intake.to_client)
        if problem.code is Code.GAP and problem.from_sequence is not None and problem.to_sequence is not None:
            self._totals.count_gap(problem.from_sequence, problem.to_sequence)
        if error.fatal and len(self.spec.services) > 1:
            problem = problem.prefixed(service_name(service))
        return [self._report(problem)]

    def _advance(self, service: task_pb2.ServiceType, progress: task_pb2.Progress, now: float) -> list[Action]:
        """Record a service's progress; report to the client when it may forget more chunks."""
        before = self.committed
        self._services.advance(service, progress, self._intake.next_worker_sequence)
        actions: list[Action] = [self._acknowledge(now)] if self.committed != before else []
        if self.is_open and self._services.media_ms > self._limits.max_stream_media_ms:
            actions += self._over_limit("length", now)
        return actions

    def _answer_flushes(self, service: task_pb2.ServiceType, now: float, number: int | None = None) -> list[Action]:
        """The service answered every flush up to `number`, or will answer none any more (None)."""
        complete = self._services.flush_answered(service, number)
        return [self._acknowledge(now, flush_id=flush_id) for flush_id in complete]

    def _finish_if_done(self) -> list[Action]:
        if self._services.live:
            return []
        self.phase = advance(STREAM_TABLE, self.phase, StreamMove.DONE)
        self._ack_due = False
        self.ended_message = self._ended()
        return [StoreStreamEnd(self.stream_id, self.ended_message, self.snapshot()), SendMessage(self.ended_message)]

    # --- to the client ---

    def _ended(self) -> m.StreamEnded:
        return ended_message(self._session_id, self.stream_id, self._totals, self._services, self.segments)

    def _report(self, problem: Problem) -> SendMessage:
        return SendMessage(translate.error_message(problem.of_stream(self.stream_id)))

    def _over_limit(self, what: str, now: float) -> list[Action]:
        problem = Problem(Code.MEDIA_LIMIT, f"the stream has reached its limit of {what} and ends here")
        return [self._report(problem), *self.end(now)]

    def _acknowledge_soon(self, now: float) -> list[Action]:
        if now < self._ack_at + self._limits.ack_interval:
            self._ack_due = True
            return []
        return [self._acknowledge(now)]

    def _acknowledge(self, now: float, *, accepted: bool = False, flush_id: int | UnsetType = UNSET) -> SendMessage:
        self._ack_at = now
        self._ack_due = False
        data = m.AcknowledgeData(
            stream_id=self.stream_id,
            received=self._intake.next_sequence - 1,
            committed=self.committed,
            next_sequence=self._intake.next_sequence,
            flush_id=flush_id,
        )
        if accepted:
            data = with_terms(data, self.spec, self.handle, self._limits)
        return SendMessage(m.Acknowledge(stream_id=self.stream_id, data=data))
