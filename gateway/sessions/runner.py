"""A running session: it performs what the protocol core decides, and outlives its sockets.

Everything here runs on the event loop without waiting. Worker streams pass their results in when they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

import structlog
from talkup.v1 import task_pb2

from gateway.access.terms import OPEN_TERMS, Terms
from gateway.access.tokens import Audience, Minted
from gateway.protocol.actions import (
    Action,
    Authenticate,
    CancelTask,
    CloseSocket,
    CountForgotten,
    FinishSession,
    ForwardTask,
    OpenTask,
    ResumeSession,
    SendMessage,
    StoreAnalyses,
    StoreSegment,
    StoreSession,
    StoreSnapshot,
    StoreStreamEnd,
    TaskKey,
)
from gateway.protocol.errors import Code, Problem
from gateway.protocol.messages import ClientMessage, ErrorMessage, ServerMessage, StreamEnded, TranscriptUpdate
from gateway.protocol.negotiation import StreamSpec
from gateway.protocol.session import Session
from gateway.protocol.states import SessionPhase, StoreRelease
from gateway.sessions.admission import IDLE, admit_stream, problem_of
from gateway.sessions.audit import Ending, SessionAudit, log_stream_end
from gateway.sessions.context import GatewayContext
from gateway.sessions.drop_meter import DropMeter
from gateway.sessions.frame_counter import FrameCounter
from gateway.sessions.media_meter import MediaMeter
from gateway.sessions.peer import Peer
from gateway.sessions.persistence import SessionPersistence
from gateway.sessions.stream_traces import StreamTraces
from gateway.sessions.worker_calls import WorkerCalls, internal_error
from gateway.store.base import StoredSession
from gateway.upstream.event import Event
from gateway.upstream.pool import FailoverNotice, StreamItem, TaskStream

log = structlog.get_logger()


class SessionRunner:
    """One session with its worker streams; at most one socket is attached to it at a time.

    `on_finished` is called once, when the session is over at this gateway. `terms` are those of the API key behind it.
    """

    def __init__(
        self,
        session_id: str,
        context: GatewayContext,
        on_finished: Callable[[SessionRunner], None],
        terms: Terms = OPEN_TERMS,
    ) -> None:
        self.session_id = session_id
        self.terms = terms
        busy, gateway = context.upstream.busy, context.status.current
        self.session = Session(session_id, limits=context.limits, busy=busy, admit=self._admit, gateway=gateway)
        self.is_resumable = True  # by its client, here or at another gateway
        # Set while no result is due, see `prepare_drain`.
        self.no_results_due = Event()
        self._context = context
        self._now = context.steady_clock()
        self._on_finished = on_finished
        self._peer: Peer | None = None
        self.traces = StreamTraces(context.tracer, session_id)
        self._calls = WorkerCalls(session_id, context.upstream, context.metrics, context.shares, self.traces)
        self._persistence = SessionPersistence(session_id, context.store, context.metrics, self.traces)
        self._frame_counter = FrameCounter()
        self._audit = SessionAudit(session_id, terms.owner)
        self._media = MediaMeter()
        self._drops = DropMeter()
        self._tick: asyncio.TimerHandle | None = None
        self._tick_due = 0.0
        self._errors_sent = 0
        self._grace: asyncio.TimerHandle | None = None

    @property
    def phase(self) -> SessionPhase:
        """The phase of the session."""
        return self.session.phase

    @property
    def is_idle(self) -> bool:
        """Whether the session is only waiting for its client: it has no socket and no stream."""
        return self.phase is SessionPhase.DETACHED and not self._calls

    def restore(self, stored: StoredSession) -> None:
        """Continue the session where another process left it; call this before a socket is attached."""
        streams = self._persistence.restored_streams(stored)
        for stream in streams:
            self._drops.begin_resumed(stream.snapshot.stream_id, stream.snapshot.totals)
        used = [each.stream_id for each in stored.streams if not each.is_blank]
        self.perform(self.session.restore(streams, used, self._now()))

    # --- sockets

    @property
    def peer(self) -> Peer | None:
        """The attached socket."""
        return self._peer

    def attach_unauthenticated(self, peer: Peer) -> None:
        """Attach a socket that has not sent a credential yet."""
        self._peer = peer
        self.perform(self.session.await_auth(self._now()))

    def attach(self, peer: Peer, resume: ResumeSession | None = None, *, not_after: float | None = None) -> None:
        """Attach this socket to the session; a socket attached before is superseded and closed with 1000.

        `resume`: the request of a client that says what it holds. `not_after`: when the token expires that the client
        came with, UNIX seconds.
        """
        now = self._now()
        if self._peer is not None and self._peer is not peer:
            self.perform(self.session.superseded(now, unsent=self._peer.outbox.unsent()))
        self._cancel_grace()
        self._peer = peer
        self._audit.attached(now)
        minted = self.mint_resume(not_after)
        actions = self.session.connected(
            now,
            resume_token=minted.token,
            expires_at=minted.expires_at,
            last_segment_ids=None if resume is None else resume.last_segment_ids,
            last_deliveries=None if resume is None else resume.last_deliveries,
        )
        self.perform(actions)

    def mint_resume(self, not_after: float | None) -> Minted:
        """A token that resumes this session, until `not_after` at the latest: no token outlives the one before it."""
        return self._context.authenticator.mint(self.session_id, Audience.RESUME, self.terms, not_after)

    def detach(self, peer: Peer, *, is_clean: bool) -> None:
        """The socket closed; `is_clean`: the client closed it. Ignored for a socket that is not attached."""
        if self._peer is not peer:
            return
        self._peer = None
        self._audit.detached(is_clean=is_clean)
        unsent = peer.outbox.unsent()
        self.perform(self.session.disconnected(self._now(), is_clean=is_clean, unsent=unsent))
        if self.phase is SessionPhase.DETACHED:
            loop = asyncio.get_running_loop()
            self._grace = loop.call_later(self._context.config.session_grace_s, self.end_grace)

    def refuse(self, code: Code, message: str, retry_after_ms: int | None = None) -> None:
        """Report to the client that the credential of its message was refused."""
        self.perform(self.session.refused(code=code, message=message, retry_after_ms=retry_after_ms))

    # --- the end

    def prepare_drain(self) -> None:
        """The gateway is draining: from now on `no_results_due` is set once no result is due.

        The socket stays open and gets the last results. With a durable store, streams stay open to be resumed
        elsewhere, and those whose client never resends are flushed; otherwise streams end.
        """
        session, now = self.session, self._now()
        self.no_results_due.clear()
        continues = self._context.store.durable and self.is_resumable
        self.perform(session.flush_packet_streams() if continues else session.end_streams(now))
        self._check_results_due()

    def end_grace(self) -> None:
        """End the session: open streams end as if by `stream_end`; it is over once their last results have arrived."""
        self._cancel_grace()
        self.perform(self.session.grace_over(self._now()))
        self._check_calls_over()

    def drain(self) -> None:
        """End the session at once: the gateway is shutting down. Another process may resume it from the store."""
        self._audit.ending = Ending.DRAINED
        self.perform(self.session.drained())

    def yield_to_other_gateway(self) -> None:
        """End the session at once: another gateway claimed it."""
        self._audit.ending = Ending.TAKEN_OVER
        self.perform(self.session.taken_over())

    def delete(self, *, is_elsewhere: bool = False) -> None:
        """End the session at once: it was deleted, here or at another gateway."""
        self._audit.ending = Ending.DELETED
        self.perform(self.session.deleted_elsewhere() if is_elsewhere else self.session.deleted())

    async def wait_until_over(self) -> None:
        """Wait until every call to a worker is over; after the end of the session that is soon."""
        await self._calls.wait_until_over()

    # --- input

    def receive(self, message: str | bytes | ClientMessage) -> bool:
        """Handle a WebSocket message, or one in its normal form; returns whether it was answered with an error."""
        now, errors = self._now(), self._errors_sent
        self._audit.received(message)
        match message:
            case str():
                self.perform(self.session.receive_text(message, now))
            case bytes():
                self.perform(self.session.receive_binary(message, now))
            case _:
                self.perform(self.session.receive_message(message, now))
        return self._errors_sent > errors

    def congested_stream(self) -> TaskStream | None:
        """A worker stream that is too far behind to accept more, if there is one."""
        return self._calls.first_congested()

    def report_congestion(self) -> None:
        """Report to the client, with `flow`, how far behind its streams are while its socket is not read."""
        now = self._now()
        for key, stream in self._calls.congested():
            behind = task_pb2.TaskResult(flow=task_pb2.Flow(behind_ms=stream.behind_ms))
            self.perform(self.session.receive_result(key, behind, now))

    # --- output

    def perform(self, actions: Iterable[Action]) -> None:
        """Perform what the core decided, in order, and set the timer for what is due next."""
        self._carry_out(actions)
        self._schedule_tick()

    def _carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case SendMessage(message):
                    self._send(message)
                case ForwardTask(key, request):
                    self._calls.forward(key, request, self._context.monotonic())
                case CancelTask(key):
                    self._calls.cancel_one(key)
                case OpenTask(key, request, resumed):
                    self._open(key, request, resumed=resumed)
                case StoreSession():
                    self._persistence.write_session(self.terms.owner)
                case StoreSegment():
                    self._persistence.write_segment(action)
                case StoreSnapshot():
                    self._persistence.write_snapshot(action)
                case StoreAnalyses():
                    self._persistence.write_analyses(action)
                case StoreStreamEnd(stream_id, ended, snapshot):
                    self._end_stream(stream_id, ended)
                    self._persistence.end_stream(stream_id, snapshot)
                case CountForgotten(kind, count):
                    self._context.metrics.speech_forgotten.labels(kind).inc(count)
                case Authenticate(token) if self._peer is not None:
                    self._peer.authenticate(token)
                case ResumeSession() if self._peer is not None:
                    self._peer.resume(action)
                case CloseSocket(code, reason) if self._peer is not None:
                    self._peer.outbox.close(code, reason)
                case FinishSession(release):
                    self._finish(release)

    def _send(self, message: ServerMessage) -> None:
        match message:
            case ErrorMessage(data=data):
                self._context.metrics.errors.labels(data.code).inc()
                self._errors_sent += 1
            case TranscriptUpdate(data=data) if data.is_final:
                self._context.metrics.finals.inc()
        if self._peer is not None:
            self._peer.outbox.put(message, self._persistence.unconfirmed)

    def _end_stream(self, stream_id: str, ended: StreamEnded) -> None:
        self._media.forget(stream_id)
        self.traces.end(stream_id)
        totals = ended.data
        for reason, count in self._drops.ended(stream_id, totals).items():
            self._context.metrics.dropped.labels(reason).inc(count)
        self._audit.stream_ended(totals)
        log_stream_end(self.session_id, stream_id, totals)

    def _finish(self, release: StoreRelease) -> None:
        self._cancel_grace()
        self._cancel_tick()
        self._calls.cancel()
        self.no_results_due.set()
        self._persistence.release(release)
        open_streams = sum(stream.ended_message is None for stream in self.session.streams.values())
        self._audit.write(self._now(), open_streams=open_streams)
        self._on_finished(self)

    # --- shares

    def _admit(self, spec: StreamSpec, can_wait: bool) -> Problem | None:
        return admit_stream(self._context, self.terms, spec, can_wait)

    def _give_back(self, key: TaskKey, has_excess: bool) -> bool:
        """End a stream that sends nothing, because others wait.

        Not while its client is away, unless its owner has more than its share.
        """
        if self.phase is not SessionPhase.OPEN and not has_excess:
            return False
        actions = self.session.end_with(IDLE, self._now(), key.stream_id)
        if actions:
            self._context.metrics.idle_streams_ended.inc()
            log.info("idle stream ended", session_id=self.session_id, stream_id=key.stream_id)
        self.perform(actions)
        return bool(actions)

    def _count_media(self, stream_id: str, media_ms: int) -> None:
        """Count media that was worked on; end the streams of an owner that has used up its day."""
        self._context.shares.add_media(self.terms, self._media.added(stream_id, media_ms))
        if (over := self._context.shares.check_media(self.terms)) is not None:
            self.perform(self.session.end_with(problem_of(self._context, over), self._now()))

    # --- worker streams

    def _open(self, key: TaskKey, request: task_pb2.TaskRequest, *, resumed: bool) -> None:
        self._persistence.begin_stream(key.stream_id, self._context.clock())
        if resumed:
            self._media.begin_resumed(key.stream_id)
        self._calls.take_slot(key, self.terms, partial(self._give_back, key))

        def receive(item: StreamItem | None) -> None:
            if item is not None:
                self._receive_item(key, stream, item)
                return
            self._calls.close(key, stream)
            self._check_results_due()
            self._check_calls_over()

        stream = self._calls.open(key, request, receive, resumed=resumed)

    def _receive_item(self, key: TaskKey, stream: TaskStream, item: StreamItem) -> None:
        """Pass a worker stream's result to the core."""
        try:
            self._handle_item(key, item)
        except Exception:
            # The outermost edge of a result: an unexpected error ends its stream with an error message, and no other.
            log.exception("stream failed", session_id=self.session_id, stream_id=key.stream_id)
            stream.cancel()
            self._handle_item(key, internal_error(self.session_id, key))

    def _handle_item(self, key: TaskKey, item: StreamItem) -> None:
        if isinstance(item, FailoverNotice):
            self.perform(self.session.task_failover(key, item.replayed_from))
        else:
            if item.HasField("flow"):
                for outcome, count in self._frame_counter.increments(key.stream_id, item.flow).items():
                    self._context.metrics.video_frames.labels(outcome).inc(count)
            # Without setting the timer: a result makes nothing due earlier.
            self._carry_out(self.session.receive_result(key, item, self._now()))
            if item.HasField("progress"):
                self._count_media(key.stream_id, item.progress.committed_media_ms)
        self._check_results_due()

    def _check_results_due(self) -> None:
        if not self.no_results_due.is_set() and not self.session.awaits_results:
            self.no_results_due.set()

    def _check_calls_over(self) -> None:
        if not self._calls:
            self.perform(self.session.last_stream_over())

    # --- time

    def _schedule_tick(self) -> None:
        """Set the timer for the next deadline.

        A timer that is set for an earlier moment stays: when it fires, it sets the next one.
        """
        deadline = self.session.next_deadline()
        if deadline is None or (self._tick is not None and self._tick_due <= deadline):
            return
        self._cancel_tick()
        self._tick_due = deadline
        delay = max(0.0, deadline - self._now())
        self._tick = asyncio.get_running_loop().call_later(delay, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self.perform(self.session.tick(self._now()))

    def _cancel_tick(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
