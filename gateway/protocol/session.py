"""A client's session without its socket: it turns frames, results and ticks into actions.

Nothing here waits, reads a clock or raises for any input. The table in states.py defines how a session lives and ends;
missed.py decides what its client must not miss while it has no socket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from talkup.v1 import task_pb2

from gateway.protocol import messages as m
from gateway.protocol.actions import (
    Action,
    Authenticate,
    CloseSocket,
    FinishSession,
    SendMessage,
    StoreSession,
    TaskKey,
)
from gateway.protocol.codec import decode_text, message_in_binary
from gateway.protocol.ending import end_stream, end_with
from gateway.protocol.errors import ERRORS, CloseCode, Code, Problem
from gateway.protocol.json_text import is_longer
from gateway.protocol.limits import Limits
from gateway.protocol.missed import Backlog
from gateway.protocol.packets import BeginStream, OrphanPacket, PacketStreams, ToStream
from gateway.protocol.rate_limit import RateLimit
from gateway.protocol.replies import pong, rate_limited, refusal, resume_session, too_large
from gateway.protocol.snapshot import RestoredStream
from gateway.protocol.states import SESSION_TABLE, IllegalMoveError, SessionMove, SessionPhase, advance, store_release
from gateway.protocol.status import GatewaySnapshot, session_message, status_message
from gateway.protocol.stream import Stream
from gateway.protocol.stream_registry import Admit, StreamRegistry
from gateway.protocol.talking_over import Voices
from gateway.protocol.translate import error_message

# What a message results in: actions, or the reason for refusing it.
Outcome = list[Action] | Problem

_CHUNKS = (m.StreamChunk, m.MediaPacket)
_UNAUTHENTICATED = Problem(Code.UNAUTHENTICATED, "send a credential in an auth message first", field="type")


class Session:
    """One session. Every `now` is UNIX seconds, of a clock that does not jump.

    `busy` returns None if a service may have room for another stream, else the milliseconds after which to retry;
    `admit` as for StreamRegistry; `gateway` gives the state of the gateway, for `status`.
    """

    def __init__(
        self,
        session_id: str,
        *,
        limits: Limits | None = None,
        busy: Callable[[task_pb2.ServiceType], int | None] = lambda _: None,
        admit: Admit = lambda _spec, _can_wait: None,
        gateway: Callable[[float], GatewaySnapshot] = lambda _now: GatewaySnapshot(),
    ) -> None:
        self.session_id = session_id
        self.phase = SessionPhase.NEW
        self._limits = limits or Limits()
        self._json_bounds = self._limits.json_bounds()
        self._streams = StreamRegistry(session_id, self._limits, busy, admit)
        # The streams that are open, ending or recently ended, by id.
        self.streams = self._streams.by_id
        self._gateway = gateway
        self._packets = PacketStreams()
        self._voices = Voices()
        self._backlog = Backlog(self._limits.kept_messages)
        self._auth_deadline: float | None = None
        bounds = self._limits
        self._rate = RateLimit(bounds.control_per_second, bounds.control_burst, max_refused=bounds.max_refused)

    @property
    def busy(self) -> bool:
        """Whether a stream has not ended yet."""
        return self._streams.unfinished > 0

    # --- between gateways ---

    def restore(
        self,
        left: Iterable[RestoredStream],
        used: Iterable[str],
        now: float,
    ) -> list[Action]:
        """Continue a session that another process held: its streams, and all stream ids used so far.

        Raises SnapshotError.
        """
        self._move(SessionMove.RESTORE)
        self._streams.reserve(set(used))
        actions: list[Action] = []
        for each in left:
            stream = Stream.restored(self.session_id, each, self._limits)
            self._streams.add_restored(stream)
            if stream.implicit:
                self._packets.set_current(stream.spec.kind, stream.stream_id)
            actions += stream.reopen_calls(now)
        actions += self._voices.restore(self.streams)
        self._streams.forget_ended()
        return actions

    def flush_packet_streams(self) -> list[Action]:
        """The gateway is draining: flush the streams of clients that never resend."""
        actions: list[Action] = []
        for stream in self._streams.open:
            if stream.spec.packets:
                actions += stream.flush_for_drain()
        return self._deliver(actions)

    @property
    def awaits_results(self) -> bool:
        """Whether a flush or the end of a stream is still unanswered."""
        return any(stream.awaits_results for stream in self.streams.values())

    # --- the connection ---

    def await_auth(self, now: float) -> list[Action]:
        """An unauthenticated socket connected; it has `auth_timeout` seconds to send a credential."""
        if self._move(SessionMove.AWAIT_AUTH):
            self._auth_deadline = now + self._limits.auth_timeout
        return []

    def connected(
        self,
        now: float,
        *,
        resume_token: str,
        expires_at: int,
        last_segment_ids: Mapping[str, int] | None = None,
        last_deliveries: Mapping[str, int] | None = None,
    ) -> list[Action]:
        """An authenticated socket connected. It tells per stream the highest final and delivery that it holds."""
        is_resumed = self.phase in (SessionPhase.OPEN, SessionPhase.DETACHED)
        if not self._move(SessionMove.CONNECT):
            return refusal(Code.SESSION_EXPIRED, "the session has expired; start a new one")
        self._auth_deadline = None
        self._rate.reset_refusals()
        for stream in self.streams.values():
            stream.proceed(now)
        opened = session_message(
            self.session_id, self._streams.states(), self._limits, resume_token, expires_at, is_resumed=is_resumed
        )
        missed = self._backlog.pop_missed(self.streams, last_segment_ids or {}, last_deliveries or {})
        return [StoreSession(), SendMessage(opened), *map(SendMessage, missed)]

    def refused(
        self, *, code: Code = Code.UNAUTHENTICATED, message: str = "", retry_after_ms: int | None = None
    ) -> list[Action]:
        """The credential of `Authenticate` or `ResumeSession` was refused; an open session continues."""
        answer = self._report(Problem(code, message or "the credential is invalid", retry_after_ms=retry_after_ms))
        close = ERRORS[code].close or CloseCode.UNAUTHENTICATED
        return [answer] if self.phase is SessionPhase.OPEN else [answer, CloseSocket(int(close), str(code))]

    def superseded(self, now: float, *, unsent: Iterable[m.ServerMessage]) -> list[Action]:
        """A newer socket replaces this one, which is closed with an error; `unsent` as for `disconnected`."""
        return [
            *self.disconnected(now, is_clean=False, unsent=unsent),
            *refusal(Code.SUPERSEDED, "a newer connection of this session has taken over"),
        ]

    def disconnected(self, now: float, *, is_clean: bool, unsent: Iterable[m.ServerMessage] = ()) -> list[Action]:
        """The socket closed. If the client closed it (`is_clean`), streams end; otherwise they wait for its return.

        `unsent`: the messages that the socket has not sent, in order.
        """
        if self.phase is SessionPhase.OPEN:
            self._backlog.keep_unsent(unsent)
        finished = self._finish(SessionMove.CLOSE if is_clean else SessionMove.LOSE)
        self._auth_deadline = None
        if is_clean:
            return [*self.end_streams(now), *finished]
        for stream in self.streams.values():
            stream.pause()
        return finished

    # --- its end ---

    def grace_over(self, now: float) -> list[Action]:
        """The client did not return in time: streams end; their last results are still stored."""
        return self.end_streams(now) if self._move(SessionMove.GRACE_OVER) else []

    def last_stream_over(self) -> list[Action]:
        """No call to a worker is open any more."""
        return self._finish(SessionMove.LAST_STREAM_OVER)

    def drained(self) -> list[Action]:
        """The gateway is shutting down: the session ends here at once and can be resumed if the store allows it."""
        return [CloseSocket(int(CloseCode.RESTART), "the gateway is restarting"), *self._finish(SessionMove.DRAIN)]

    def taken_over(self) -> list[Action]:
        """Another gateway claimed the session: it ends here at once."""
        farewell = refusal(Code.SUPERSEDED, "the session continues at another gateway")
        return [*self._deliver(farewell), *self._finish(SessionMove.TAKE_OVER)]

    def deleted(self) -> list[Action]:
        """The session was deleted at this gateway: it ends at once."""
        return [CloseSocket(int(CloseCode.NORMAL), "session deleted"), *self._finish(SessionMove.DELETE)]

    def deleted_elsewhere(self) -> list[Action]:
        """The session was deleted at another gateway: it ends at once, with an error for its client."""
        error = self._report(Problem(Code.SESSION_EXPIRED, "the session was deleted"))
        return [*self._deliver([error]), *self.deleted()]

    def end_streams(self, now: float) -> list[Action]:
        """End every open stream like `stream_end`; a connected client gets the last results."""
        return self._deliver(action for stream in self._streams.open for action in stream.end(now))

    def end_with(self, problem: Problem, now: float, stream_id: str | None = None) -> list[Action]:
        """End one open stream, or all, like `stream_end`, and report why. Empty if there is none."""
        return self._deliver(end_with(self._streams, problem, now, stream_id))

    # --- time ---

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        if self._auth_deadline is not None and now >= self._auth_deadline:
            self._auth_deadline = None
            return refusal(Code.UNAUTHENTICATED, "no credential was sent in time")
        actions: list[Action] = []
        for stream in self.streams.values():
            actions += stream.tick(now)
        return self._deliver(actions)

    def next_deadline(self) -> float | None:
        """When `tick` is due, UNIX seconds; None: never."""
        if self.phase is SessionPhase.ENDED:
            return None
        earliest = self._auth_deadline
        for stream in self.streams.values():
            due = stream.deadline()
            if due is not None and (earliest is None or due < earliest):
                earliest = due
        return earliest

    # --- frames ---

    def receive_text(self, text: str, now: float) -> list[Action]:
        """A text frame."""
        if is_longer(text, limit := self._max_bytes()):
            return too_large(limit)
        message = decode_text(text, max_chunk_bytes=self._limits.max_chunk_bytes, bounds=self._json_bounds)
        return self._answer(message, now) if isinstance(message, Problem) else self.receive_message(message, now)

    def receive_message(self, message: m.ClientMessage, now: float) -> list[Action]:
        """A message in its normal form."""
        if not self._is_allowed(message):
            return self._answer(_UNAUTHENTICATED, now)
        # Accepted chunks cost nothing: backpressure slows them down.
        is_free = isinstance(message, _CHUNKS)
        if not is_free and (limited := self._charge(now)) is not None:
            return limited
        return self._answer(self._dispatch(message, now), now, is_charged=not is_free)

    def receive_binary(self, payload: bytes, now: float) -> list[Action]:
        """A binary frame: a tagged chunk, the next raw chunk of the only open stream, or a message sent as binary."""
        if len(payload) > (limit := self._max_bytes()):
            return too_large(limit)
        if (text := message_in_binary(payload)) is not None:
            return self.receive_text(text, now)
        if self.phase is not SessionPhase.OPEN:
            return self._answer(_UNAUTHENTICATED, now)
        chunk = self._streams.assign_binary(payload)
        if isinstance(chunk, Problem):
            return self._answer(chunk, now)
        return self._answer(self._offer(chunk.stream, chunk.sequence, chunk.payload, None, now), now)

    # --- workers ---

    def receive_result(self, key: TaskKey, result: task_pb2.TaskResult, now: float) -> list[Action]:
        """A result of a call to a worker; results that come too late are dropped."""
        stream = self.streams.get(key.stream_id)
        if stream is None:
            return []
        actions = self._voices.before(key, self.streams, result) + stream.result(key.service_type, result, now)
        return self._deliver([*actions, *self._voices.follow(stream, self.streams)])

    def task_failover(self, key: TaskKey, replayed_from: int) -> list[Action]:
        """A call moved to another worker, which gets the chunks from this worker sequence on."""
        stream = self.streams.get(key.stream_id)
        return [] if stream is None else self._deliver(stream.failover(key.service_type, replayed_from))

    # --- messages ---

    def _dispatch(self, message: m.ClientMessage, now: float) -> Outcome:
        match message:
            case m.StreamChunk():
                return self._chunk(message, now)
            case m.MediaPacket():
                return self._packet(message, now)
            case m.StreamStart():
                return self._stream_start(message, now)
            case m.StreamFlush():
                stream = self._streams.find_open(message.stream_id)
                return stream if isinstance(stream, Problem) else stream.flush(message.flush_id)
            case m.StreamEnd():
                return end_stream(self._streams, message, now)
            case m.Ping():
                return [SendMessage(pong(message, now))]
            case m.Status():
                gateway, states = self._gateway(now), self._streams.states()
                return [SendMessage(status_message(gateway, self.session_id, states, self._limits, now=now))]
            case m.Auth():
                return [Authenticate(message.token)]
            case m.SessionResume():
                return [resume_session(message)]

    def _stream_start(self, start: m.StreamStart, now: float) -> Outcome:
        stream = self._streams.begin(start, start.stream_id or self._streams.unused_id("stream"))
        return stream if isinstance(stream, Problem) else stream.start(now)

    def _chunk(self, chunk: m.StreamChunk, now: float) -> Outcome:
        stream = self._streams.find_open(chunk.stream_id)
        if isinstance(stream, Problem):
            return stream
        return self._offer(stream, chunk.sequence, chunk.payload, chunk.timestamp_ms, now)

    def _packet(self, packet: m.MediaPacket, now: float) -> Outcome:
        """A TalkUp packet: a chunk of its implicit stream, which it starts if there is none."""
        begun: list[Action] = []
        match self._packets.route(packet, [stream.stream_id for stream in self._streams.open]):
            case OrphanPacket(is_first):
                text = f"the {packet.kind} stream has ended; start a new recording to begin another"
                return [self._report(Problem(Code.ORPHAN_CHUNK, text))] if is_first else []
            case ToStream(stream_id):
                stream = self.streams[stream_id]
            case BeginStream(start, named):
                stream_id = named or self._streams.unused_id(packet.kind)
                started = self._streams.begin(start, stream_id, packets=True, implicit=named is None)
                if isinstance(started, Problem):
                    return started
                if named is None:
                    self._packets.set_current(packet.kind, stream_id)
                stream, begun = started, started.start(now)
        chunk = self._offer(stream, packet.sequence, packet.payload, packet.timestamp_ms, now)
        if not begun:
            return chunk
        return [*begun, *(chunk if isinstance(chunk, list) else [self._report(chunk)])]

    def _offer(
        self, stream: Stream, sequence: int | None, payload: bytes, capture_ms: int | None, now: float
    ) -> Outcome:
        if len(payload) > self._limits.max_chunk_bytes:
            text = f"at most {self._limits.max_chunk_bytes} bytes per chunk"
            return Problem(Code.PAYLOAD_TOO_LARGE, text, field="data").of_stream(stream.stream_id)
        return stream.chunk(sequence, payload, capture_ms, now)

    # --- refusing ---

    def _is_allowed(self, message: m.ClientMessage) -> bool:
        if self.phase is SessionPhase.OPEN:
            return True
        return self.phase is SessionPhase.WAITING and isinstance(message, m.Auth | m.SessionResume)

    def _answer(self, outcome: Outcome, now: float, *, is_charged: bool = False) -> list[Action]:
        """Turn an outcome into actions; a problem counts against the rate limit unless its message already did."""
        if isinstance(outcome, list):
            return self._deliver(outcome)
        if not is_charged and (limited := self._charge(now)) is not None:
            return limited
        return [self._report(outcome)]

    def _charge(self, now: float) -> list[Action] | None:
        """Count a message against the rate limit; returns what to do instead of handling it if it exceeds the limit."""
        refused = self._rate.charge(now)
        return None if refused is None else rate_limited(refused)

    def _max_bytes(self) -> int:
        return self._limits.message_bytes(is_authenticated=self.phase is not SessionPhase.WAITING)

    def _report(self, problem: Problem) -> SendMessage:
        return SendMessage(error_message(problem))

    def _deliver(self, actions: Iterable[Action]) -> list[Action]:
        """Pass actions on; without their messages while there is no socket."""
        if self.phase is SessionPhase.OPEN or self.phase is SessionPhase.WAITING:
            return actions if isinstance(actions, list) else list(actions)
        return self._backlog.withhold(actions, is_kept=self.phase is SessionPhase.DETACHED)

    def _move(self, move: SessionMove) -> bool:
        """Make a move; returns whether it was legal. An illegal move changes nothing."""
        try:
            self.phase = advance(SESSION_TABLE, self.phase, move)
        except IllegalMoveError:
            return False
        return True

    def _finish(self, move: SessionMove) -> list[Action]:
        """Make a move; if it ends the session, determine what to write to the store."""
        before = self.phase
        if not self._move(move) or self.phase is not SessionPhase.ENDED:
            return []
        return [FinishSession(store_release(before, move))]
