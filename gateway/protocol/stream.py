"""One media stream: chunks in, requests to its services out; their results in, messages to the client out.

Numbers: clients count chunks as they like (`sequence`), a recording anew if they like; workers are given one count that
rises over the whole stream. `_Numbering` translates between the two for the recording at hand.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import Final, NamedTuple

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
from gateway.protocol.errors import Code, Problem
from gateway.protocol.limits import Limits
from gateway.protocol.negotiation import StreamSpec, service_name
from gateway.protocol.recordings import Accepted, Orphan, RecordingEvent, Recordings, has_headers
from gateway.protocol.segments import Segments
from gateway.protocol.sequence import Duplicate, Gap, Piece, SequenceEvent, Sequencer, Stale
from gateway.protocol.snapshot import PartSnapshot, StreamSnapshot, TotalsSnapshot, service_of, spec_of
from gateway.protocol.states import STREAM_TABLE, StreamMove, StreamPhase, moved
from gateway.protocol.status import limits_data

_MAX_FLUSHES: Final = 64
# More attempts than a stream makes from one gateway; their number has 32 bits.
_ATTEMPTS_A_LIFE: Final = 100_000
# Chunks without a commit that are remembered one by one: beyond them a snapshot's counts are too high.
_MAX_FORWARDED: Final = 65_536


@dataclass(slots=True)
class _Numbering:
    """The recording at hand: its first chunk in the workers' count and in the client's."""

    first_inner: int = 0
    first_number: int = 0

    def to_client(self, inner: int) -> int:
        """The client's number of a chunk; for chunks of earlier recordings the number before this one's first."""
        return max(inner, self.first_inner - 1) - self.first_inner + self.first_number


@dataclass(slots=True)
class _Part:
    """One service's share of a stream: what it is to be sent next, and where another worker would begin."""

    live: bool = True
    committed: int = -1
    media_ms: int = 0
    next_inner: int = 0
    replay_from: int = 0
    resume_state: bytes = b""
    dropped: tuple[task_pb2.DropCount, ...] = ()


class _Forwarded(NamedTuple):
    """A chunk on its way to the workers: its two numbers and its size in bytes."""

    inner: int
    number: int
    size: int


@dataclass(slots=True)
class _Totals:
    chunks: int = 0
    bytes: int = 0
    gaps: int = 0
    missing: int = 0
    damaged: int = 0
    duplicates: int = 0
    orphans: int = 0
    failovers: int = 0


@dataclass(slots=True)
class _Flush:
    """A flush that some services have still to answer; `flush_id` as the client named it."""

    flush_id: int
    waiting: set[task_pb2.ServiceType]


class Stream:
    """A stream between `stream_start` and `stream_ended`. `handle` names it in tagged frames."""

    def __init__(self, session_id: str, spec: StreamSpec, handle: int, limits: Limits) -> None:
        self.spec = spec
        self.handle = handle
        self.phase = StreamPhase.OPEN
        self.ended_message: m.StreamEnded | None = None
        self.implicit = False
        self.segments = Segments(spec.stream_id, words=spec.speech.word_timestamps, kept=limits.kept_segments)
        self._session_id = session_id
        self._limits = limits
        self._sequencer = Sequencer(limits, packets=spec.packets, headers=has_headers(spec.format))
        self._recordings = Recordings(spec.format)
        self._numbering = _Numbering()
        self._next_inner = 0
        self._parts = {service: _Part() for service in spec.services}
        self._forwarded: deque[_Forwarded] = deque(maxlen=_MAX_FORWARDED)
        self._lives = 0
        # Chunks that an earlier gateway took and that its successor has not been given again: first and last number.
        self._not_again: tuple[int, int] | None = None
        self._lost = 0
        self._committed = -1
        self._totals = _Totals()
        self._flushes: dict[int, _Flush] = {}
        self._flush_numbers = count(1)
        self._orphan_told = False
        self._ack_at = 0.0
        self._ack_due = False

    @classmethod
    def restored(
        cls,
        session_id: str,
        snapshot: StreamSnapshot,
        finals: Iterable[transcript_pb2.Transcript],
        limits: Limits,
        now: float,
    ) -> Stream:
        """A stream that another gateway held, as its snapshot and its finals tell. Raises SnapshotError."""
        stream = cls(session_id, spec_of(snapshot), snapshot.handle, limits)
        stream._restore(snapshot, finals, now)
        return stream

    @property
    def stream_id(self) -> str:
        return self.spec.stream_id

    @property
    def is_open(self) -> bool:
        """Whether chunks are taken."""
        return self.phase is StreamPhase.OPEN

    @property
    def committed(self) -> int:
        """The client may forget every chunk up to here; -1: none yet."""
        return min(self._numbering.to_client(self._committed), self._sequencer.next_number - 1)

    def start(self, now: float) -> list[Action]:
        """Begin a call for each service and tell the client the terms."""
        opened = [
            OpenTask(TaskKey(self.stream_id, service), translate.start_request(self._session_id, self.spec, service))
            for service in self.spec.services
        ]
        return [*opened, StoreSnapshot(self.snapshot()), self._acknowledge(now, accepted=True)]

    def take_up(self, now: float) -> list[Action]:
        """Begin the calls of a restored stream anew, each behind what its service has committed."""
        if not self.is_open:
            return []
        actions: list[Action] = [StoreSnapshot(self.snapshot())]
        for service in self._live():
            request = translate.start_request(self._session_id, self.spec, service)
            # Above every attempt of the gateways before: one of them may still hold a call at the same worker.
            request.attempt = self._lives * _ATTEMPTS_A_LIFE
            if self._parts[service].resume_state:
                request.start.resume_state = self._parts[service].resume_state
            actions.append(OpenTask(TaskKey(self.stream_id, service), request, resumed=True))
        return actions + self._finish_if_done(now)

    @property
    def owes_results(self) -> bool:
        """Whether a flush or the end is still to be answered."""
        return bool(self._flushes) or self.phase is StreamPhase.ENDING

    def chunk(self, number: int | None, payload: bytes, capture_ms: int | None, now: float) -> list[Action]:
        """Take a chunk. Raises IllegalMoveError unless the stream is open."""
        self.phase = moved(STREAM_TABLE, self.phase, StreamMove.CHUNK)
        actions = self._take(self._sequencer.offer(number, payload, capture_ms, now), now)
        if self._totals.bytes > self._limits.max_stream_bytes:
            return [*actions, *self._over_limit("bytes", now)]
        return actions + self._acknowledge_soon(now)

    def flush(self, flush_id: int | None, now: float) -> list[Action]:
        """Ask for final text of everything received. Raises IllegalMoveError unless the stream is open."""
        self.phase = moved(STREAM_TABLE, self.phase, StreamMove.FLUSH)
        number = next(self._flush_numbers)
        actions = self._place(self._recordings.drain(), now)
        live = self._live()
        self._flushes[number] = _Flush(number if flush_id is None else flush_id, set(live))
        if len(self._flushes) > _MAX_FLUSHES:
            del self._flushes[next(iter(self._flushes))]
        return actions + [
            ForwardTask(
                TaskKey(self.stream_id, service),
                translate.flush_request(self._session_id, self.stream_id, service, number),
            )
            for service in live
        ]

    def end(self, now: float) -> list[Action]:
        """No more chunks; `stream_ended` follows the services' last results. Raises IllegalMoveError unless open."""
        self.phase = moved(STREAM_TABLE, self.phase, StreamMove.END)
        actions = self._take(self._sequencer.drain(), now)
        actions += self._place(self._recordings.drain(), now)
        return actions + [
            ForwardTask(
                TaskKey(self.stream_id, service), translate.end_request(self._session_id, self.stream_id, service)
            )
            for service in self._live()
        ]

    def tick(self, now: float) -> list[Action]:
        """What is due: holes to give up, an acknowledgement that was held back."""
        actions: list[Action] = []
        if self.is_open:
            events = self._sequencer.poll(now)
            actions += self._take(events, now)
            if events:
                self._ack_due = True
        if self._ack_due and now >= self._ack_at + self._limits.ack_interval:
            actions.append(self._acknowledge(now))
        return actions

    def deadline(self) -> float | None:
        """When `tick` is due next, if at all."""
        hole = self._sequencer.deadline() if self.is_open else None
        acknowledge = self._ack_at + self._limits.ack_interval if self._ack_due else None
        return min((due for due in (hole, acknowledge) if due is not None), default=None)

    def pause(self) -> None:
        """The client lost its connection."""
        self._sequencer.pause()

    def proceed(self, now: float) -> None:
        """The client is connected again."""
        self._sequencer.proceed(now)

    def result(self, service: task_pb2.ServiceType, result: task_pb2.TaskResult, now: float) -> list[Action]:
        """Take a result of one of the services; results of one that ended are dropped."""
        part = self._parts.get(service)
        if part is None or not part.live:
            return []
        actions = self._take_result(service, part, result, now)
        if result.HasField("progress"):
            advance = self._advance(part, result.progress, now)
            actions = [*self._with_snapshot(actions), *advance]
        if service in self._live():
            return actions
        return actions + self._answer_flushes(service, now) + self._finish_if_done(now)

    def failover(self, service: task_pb2.ServiceType, replayed_from: int, now: float) -> list[Action]:
        """A worker was replaced and its successor given the chunks from `replayed_from` (the workers' count) on."""
        part = self._parts.get(service)
        if part is None or not part.live:
            return []
        self._totals.failovers += 1
        number = max(0, self._numbering.to_client(replayed_from))
        return [SendMessage(translate.failover_message(self.stream_id, service, replayed_from=number, now=now))]

    def snapshot(self) -> StreamSnapshot:
        """The stream as another gateway would have to take it up."""
        spec, totals = self.spec, self._totals
        while self._forwarded and self._forwarded[0].inner <= self._committed:
            self._forwarded.popleft()
        again = [*self._forwarded, *(_Forwarded(-1, p.number, len(p.payload)) for p in self._recordings.pending)]
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
            lives=self._lives,
            next_inner=self._committed + 1,
            next_number=self._number_to_send(),
            received=self._sequencer.next_number - 1,
            parts=tuple(
                PartSnapshot(service, part.live, part.replay_from, part.media_ms, b"" if ended else part.resume_state)
                for service, part in self._parts.items()
            ),
            totals=TotalsSnapshot(
                chunks=totals.chunks - len(again),
                bytes=totals.bytes - sum(chunk.size for chunk in again),
                gaps=totals.gaps,
                missing=totals.missing,
                damaged=totals.damaged,
                duplicates=totals.duplicates,
                orphans=totals.orphans,
                failovers=totals.failovers,
            ),
        )

    def state(self) -> m.StreamState:
        """Where the stream stands, for `session` and `status`."""
        return m.StreamState(
            stream_id=self.stream_id,
            state=self.phase.value,
            handle=self.handle,
            next_sequence=self._sequencer.next_number,
            received=self._sequencer.next_number - 1,
            committed=self.committed,
            last_segment_id=self.segments.last_final_id,
        )

    # --- what another gateway would need ---

    def _with_snapshot(self, actions: list[Action]) -> list[Action]:
        """Have the snapshot kept in the write of the final it belongs to; without a final in one of its own."""
        snapshot = self.snapshot()
        for index, action in enumerate(actions):
            if isinstance(action, StoreSegment):
                return [*actions[:index], replace(action, snapshot=snapshot), *actions[index + 1 :]]
        return [StoreSnapshot(snapshot), *actions]

    def _number_to_send(self) -> int | None:
        """The client's number of the first chunk that a worker would need again; None: any may be the first."""
        if self._forwarded:
            first = self._forwarded[0]
            return max(0, first.number - (first.inner - self._committed - 1))
        if self._recordings.pending:
            return self._recordings.pending[0].number
        return self._sequencer.next_number if self._sequencer.started else None

    def _restore(self, snapshot: StreamSnapshot, finals: Iterable[transcript_pb2.Transcript], now: float) -> None:
        totals = snapshot.totals
        for final in finals:
            self.segments.take(final, now)
        self._lives = snapshot.lives + 1
        self.segments.begin_life(self._lives)
        self.implicit = snapshot.implicit
        self._next_inner = snapshot.next_inner
        self._committed = snapshot.next_inner - 1
        if snapshot.next_number is not None:
            self._sequencer.begin_at(snapshot.next_number)
            self._numbering = _Numbering(snapshot.next_inner, snapshot.next_number)
            if snapshot.received >= snapshot.next_number:
                self._not_again = (snapshot.next_number, snapshot.received)
        if snapshot.next_inner:
            self._recordings.go_on()
        for part in snapshot.parts:
            self._parts[service_of(part)] = _Part(
                live=part.live and not snapshot.ended,
                committed=part.replay_from - 1,
                media_ms=part.media_ms,
                next_inner=part.replay_from,
                replay_from=part.replay_from,
                resume_state=part.resume_state,
            )
        self._totals = _Totals(
            chunks=totals.chunks,
            bytes=totals.bytes,
            gaps=totals.gaps,
            missing=totals.missing,
            damaged=totals.damaged,
            duplicates=totals.duplicates,
            orphans=totals.orphans,
            failovers=totals.failovers,
        )
        if snapshot.ended:
            self.phase = StreamPhase.ENDED
            self.ended_message = self._ended(now)

    # --- chunks ---

    def _take(self, events: Iterable[SequenceEvent], now: float) -> list[Action]:
        actions: list[Action] = []
        for event in events:
            match event:
                case Piece():
                    actions += self._miss(event, now)
                    self._totals.chunks += 1
                    self._totals.bytes += len(event.payload)
                    actions += self._place(self._recordings.take(event), now)
                case Gap(first, last):
                    self._totals.gaps += 1
                    self._totals.missing += last - first + 1
                    message = f"the chunks {first} to {last} did not arrive in time; the stream goes on without them"
                    actions.append(self._tell(Problem(Code.GAP, message, from_sequence=first, to_sequence=last), now))
                case Stale():
                    actions += self._orphan(now)
                case Duplicate():
                    self._totals.duplicates += 1
        return actions

    def _miss(self, piece: Piece, now: float) -> list[Action]:
        """A recorder that began anew, here after a change of gateway: what its client did not send again is lost."""
        if self._not_again is None:
            return []
        first, last = self._not_again
        if piece.number >= first:
            self._not_again = (piece.number + 1, last) if piece.number < last else None
            return []
        self._not_again = None
        self._lost = last - first + 1
        self._totals.gaps += 1
        self._totals.missing += self._lost
        message = f"the chunks {first} to {last} were lost with a gateway; the stream goes on without them"
        return [self._tell(Problem(Code.GAP, message, from_sequence=first, to_sequence=last), now)]

    def _place(self, events: Iterable[RecordingEvent], now: float) -> list[Action]:
        actions: list[Action] = []
        for event in events:
            match event:
                case Accepted():
                    actions += self._forward(event)
                case Orphan():
                    actions += self._orphan(now)
        return actions

    def _orphan(self, now: float) -> list[Action]:
        """Tell once that media without a container header is dropped."""
        self._totals.orphans += 1
        if self._orphan_told:
            return []
        self._orphan_told = True
        return [self._tell(Problem(Code.ORPHAN_CHUNK, "media without its container header is dropped"), now)]

    def _forward(self, accepted: Accepted) -> list[Action]:
        piece = accepted.piece
        # A worker that goes on from a resume_state would take the next number for a chunk that it knows.
        missing, self._lost = piece.missing_before + self._lost if self._next_inner else 0, 0
        inner = self._next_inner + missing
        self._next_inner = inner + 1
        self._orphan_told = False
        if self._numbering.to_client(inner) != piece.number:
            self._numbering = _Numbering(inner, piece.number)
        self._forwarded.append(_Forwarded(inner, piece.number, len(piece.payload)))
        # In a restored stream one service may be ahead of, or behind, the chunk that the client went back to.
        return [self._forward_to(service, inner, accepted) for service in self._live() if self._needs(service, inner)]

    def _needs(self, service: task_pb2.ServiceType, inner: int) -> bool:
        return inner >= self._parts[service].next_inner

    def _forward_to(self, service: task_pb2.ServiceType, inner: int, accepted: Accepted) -> Action:
        part = self._parts[service]
        missing, part.next_inner = inner - part.next_inner, inner + 1
        request = translate.chunk_request(
            self._session_id,
            self.stream_id,
            service,
            sequence=inner,
            payload=accepted.piece.payload,
            capture_ms=accepted.piece.capture_ms,
            new_recording=accepted.new_recording,
            missing_before=missing,
            received_ms=round(accepted.piece.arrived * 1000) if self.spec.kind == "image" else None,
        )
        return ForwardTask(TaskKey(self.stream_id, service), request)

    # --- results ---

    def _take_result(
        self, service: task_pb2.ServiceType, part: _Part, result: task_pb2.TaskResult, now: float
    ) -> list[Action]:
        match result.WhichOneof("result"):
            case "transcript":
                return self._transcript(result, now)
            case "analysis":
                return [SendMessage(translate.analysis_message(self.stream_id, service, result.analysis, now=now))]
            case "speech_event":
                return self._speech_event(result.speech_event, now)
            case "flow":
                part.dropped = tuple(result.flow.dropped) or part.dropped
                return [SendMessage(translate.flow_message(self.stream_id, service, result.flow, now=now))]
            case "flushed":
                return self._answer_flushes(service, now, result.flushed.flush_id)
            case "ended":
                part.live = False
                part.media_ms = max(part.media_ms, result.ended.media_ms)
                part.dropped = tuple(result.ended.dropped)
                self._totals.damaged = max(self._totals.damaged, result.ended.damaged_bytes)
                return []
            case "error":
                return self._worker_error(service, part, result.error, now)
            case _:
                return []

    def _transcript(self, result: task_pb2.TaskResult, now: float) -> list[Action]:
        transcript = result.transcript
        if not transcript.is_final and not self.spec.speech.interim_results:
            return []
        message = self.segments.take(transcript, now)
        if message is None:
            return []
        transcript.revision = message.data.revision
        # Stored before it is sent: what a client has seen stays readable.
        stored: list[Action] = [StoreSegment(self.stream_id, result)] if transcript.is_final else []
        return [*stored, SendMessage(message)]

    def _speech_event(self, event: transcript_pb2.SpeechEvent, now: float) -> list[Action]:
        message = translate.speech_event_message(self.stream_id, event, now=now)
        return [] if message is None else [SendMessage(message)]

    def _worker_error(
        self, service: task_pb2.ServiceType, part: _Part, error: error_pb2.Error, now: float
    ) -> list[Action]:
        problem = translate.problem_of(error, self._numbering.to_client)
        if problem.code is Code.GAP and problem.from_sequence is not None and problem.to_sequence is not None:
            self._totals.gaps += 1
            self._totals.missing += max(0, problem.to_sequence - problem.from_sequence + 1)
        if error.fatal:
            part.live = False
            if len(self.spec.services) > 1:
                problem = problem.prefixed(service_name(service))
        return [self._tell(problem, now)]

    def _advance(self, part: _Part, progress: task_pb2.Progress, now: float) -> list[Action]:
        """Note how far a service has come; tell the client when it may forget more."""
        part.committed = max(part.committed, progress.replay_from_sequence - 1)
        if part.replay_from <= progress.replay_from_sequence <= self._next_inner:
            part.replay_from, part.resume_state = progress.replay_from_sequence, progress.resume_state
        part.media_ms = max(part.media_ms, progress.committed_media_ms)
        before = self.committed
        self._committed = max(self._committed, self._governing().committed)
        actions: list[Action] = []
        if self.committed != before:
            actions.append(self._acknowledge(now))
        if self.is_open and part.media_ms > self._limits.max_stream_media_ms:
            actions += self._over_limit("length", now)
        return actions

    def _governing(self) -> _Part:
        """The part whose progress counts: speech before vision, whose frames nobody sends twice."""
        live = self._live()
        for service in (task_pb2.SERVICE_TYPE_STT, task_pb2.SERVICE_TYPE_VISION):
            if service in live:
                return self._parts[service]
        return max(self._parts.values(), key=lambda part: part.committed)

    def _answer_flushes(self, service: task_pb2.ServiceType, now: float, number: int | None = None) -> list[Action]:
        """This service has flushed up to `number`, or will not answer any more (None)."""
        done = [flush for flush in self._flushes if number is None or flush <= number]
        actions: list[Action] = []
        for each in done:
            flush = self._flushes[each]
            flush.waiting.discard(service)
            if not flush.waiting:
                del self._flushes[each]
                actions.append(self._acknowledge(now, flush_id=flush.flush_id))
        return actions

    def _finish_if_done(self, now: float) -> list[Action]:
        if self._live():
            return []
        self.phase = moved(STREAM_TABLE, self.phase, StreamMove.DONE)
        self._ack_due = False
        self.ended_message = self._ended(now)
        return [
            StoreStreamEnd(self.stream_id, self.ended_message, self.snapshot()),
            SendMessage(self.ended_message),
        ]

    def _ended(self, now: float) -> m.StreamEnded:
        totals = self._totals
        data = m.StreamEndedData(
            stream_id=self.stream_id,
            chunks=totals.chunks,
            bytes=totals.bytes,
            media_seconds=max(part.media_ms for part in self._parts.values()) / 1000,
            segments=self.segments.count,
            gaps=totals.gaps,
            missing_chunks=totals.missing,
            damaged_bytes=totals.damaged,
            duplicate_chunks=totals.duplicates,
            orphan_chunks=totals.orphans,
            dropped=translate.dropped([count for part in self._parts.values() for count in part.dropped]),
            failovers=totals.failovers,
            text=self.segments.text,
            text_id=f"{self._session_id}/{self.stream_id}",
        )
        return m.StreamEnded(timestamp=int(now), stream_id=self.stream_id, data=data)

    # --- to the client ---

    def _live(self) -> list[task_pb2.ServiceType]:
        return [service for service, part in self._parts.items() if part.live]

    def _tell(self, problem: Problem, now: float) -> SendMessage:
        return SendMessage(translate.error_message(problem.of_stream(self.stream_id), now=now))

    def _over_limit(self, what: str, now: float) -> list[Action]:
        problem = Problem(Code.MEDIA_LIMIT, f"the stream has reached its limit of {what} and is ended here")
        return [self._tell(problem, now), *self.end(now)]

    def _acknowledge_soon(self, now: float) -> list[Action]:
        if now < self._ack_at + self._limits.ack_interval:
            self._ack_due = True
            return []
        return [self._acknowledge(now)]

    def _acknowledge(self, now: float, *, accepted: bool = False, flush_id: int | UnsetType = UNSET) -> SendMessage:
        self._ack_at = now
        self._ack_due = False
        spec = self.spec
        data = m.AcknowledgeData(
            stream_id=self.stream_id,
            received=self._sequencer.next_number - 1,
            committed=self.committed,
            next_sequence=self._sequencer.next_number,
            flush_id=flush_id,
            accepted=True if accepted else UNSET,
            handle=self.handle if accepted else UNSET,
            kind=spec.kind if accepted else UNSET,
            format=spec.format.mime_type if accepted else UNSET,
            services=[service_name(service) for service in spec.services] if accepted else UNSET,
            framing=("tagged" if spec.tagged else "raw") if accepted else UNSET,
            limits=limits_data(self._limits) if accepted else UNSET,
        )
        return SendMessage(m.Acknowledge(timestamp=int(now), stream_id=self.stream_id, data=data))
