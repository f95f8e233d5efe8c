"""A client's session without its socket: frames, results and ticks in, actions out.

Nothing here waits, knows a clock or raises for any input. A session outlives its socket: while detached it keeps what
its client must not miss (finals, errors, ends) and goes on with the results of its streams.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import UNSET
from talkup.v1 import task_pb2, transcript_pb2

from gateway.protocol import messages as m
from gateway.protocol.actions import Action, Authenticate, CloseSocket, ResumeSession, SendMessage, TaskKey
from gateway.protocol.codec import decode_tagged, decode_text
from gateway.protocol.errors import ERRORS, CloseCode, Code, Problem
from gateway.protocol.formats import parse_format
from gateway.protocol.limits import Limits
from gateway.protocol.magic import HeaderMatch, match_header
from gateway.protocol.negotiation import StreamSpec, negotiate
from gateway.protocol.rate_limit import Budget
from gateway.protocol.recordings import has_headers
from gateway.protocol.snapshot import StreamSnapshot
from gateway.protocol.states import SESSION_TABLE, IllegalMoveError, SessionMove, SessionPhase, moved
from gateway.protocol.status import GatewaySnapshot, limits_data, status_message
from gateway.protocol.stream import Stream
from gateway.protocol.translate import error_message

_REFUSAL_INTERVAL: Final = 1.0

# What the handling of a message comes to: something to do, or the reason why not.
Outcome = list[Action] | Problem


def refusal(code: Code, message: str, now: float) -> list[Action]:
    """Tell a client why its connection ends, then close it as the table of errors.py says."""
    close = ERRORS[code].close or CloseCode.POLICY
    return [
        SendMessage(error_message(Problem(code, message), now=now)),
        CloseSocket(int(close), str(code)),
    ]


class Session:
    """One session. Every `now` is UNIX seconds and never goes far back.

    `busy` tells whether a service has no room for a further stream now: then in how many milliseconds to ask again.
    """

    def __init__(
        self,
        session_id: str,
        *,
        limits: Limits | None = None,
        busy: Callable[[task_pb2.ServiceType], int | None] = lambda _: None,
    ) -> None:
        self.session_id = session_id
        self.phase = SessionPhase.NEW
        self._limits = limits or Limits()
        self._busy = busy
        self._snapshot = GatewaySnapshot()
        self._streams: dict[str, Stream] = {}
        self._used_ids: set[str] = set()
        self._handles = 0
        self._packet_streams: dict[m.Kind, str] = {}
        self._packet_orphan_told: set[m.Kind] = set()
        self._undelivered: deque[m.ServerMessage] = deque(maxlen=self._limits.kept_messages)
        self._auth_deadline: float | None = None
        self._budget = Budget(self._limits.control_per_second, self._limits.control_burst)
        self._refused = 0
        self._refusal_told_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether results are still to come."""
        return any(stream.ended_message is None for stream in self._streams.values())

    @property
    def streams(self) -> Mapping[str, Stream]:
        """The streams that are open, ending or ended lately, by id."""
        return self._streams

    # --- between gateways ---

    def restore(
        self,
        streams: Iterable[tuple[StreamSnapshot, Iterable[transcript_pb2.Transcript]]],
        used: Iterable[str],
        now: float,
    ) -> list[Action]:
        """Take up what another gateway held: every stream with its finals, and all stream ids ever used.

        Raises SnapshotError.
        """
        self._used_ids.update(used)
        self._handles = len(self._used_ids)
        actions: list[Action] = []
        for snapshot, finals in streams:
            stream = Stream.restored(self.session_id, snapshot, finals, self._limits, now)
            self._streams[stream.stream_id] = stream
            self._handles = max(self._handles, stream.handle)
            if stream.implicit:
                self._packet_streams[stream.spec.kind] = stream.stream_id
            actions += stream.take_up(now)
        self._forget_ended()
        return actions

    def flush_packets(self, now: float) -> list[Action]:
        """The gateway is going: what clients that never send twice have sent becomes final text now."""
        actions: list[Action] = []
        for stream in self._streams.values():
            if stream.is_open and stream.spec.packets:
                actions += stream.flush(None, now)
        return self._deliver(actions)

    @property
    def owes_results(self) -> bool:
        """Whether a stream has a flush or its end still to be answered."""
        return any(stream.owes_results for stream in self._streams.values())

    # --- the connection ---

    def await_auth(self, now: float) -> list[Action]:
        """A socket without credentials is there; it has `auth_timeout` seconds to bring them."""
        if self._move(SessionMove.AWAIT_AUTH):
            self._auth_deadline = now + self._limits.auth_timeout
        return []

    def connected(
        self,
        now: float,
        *,
        resumed: bool,
        resume_token: str,
        expires_at: int,
        last_segment_ids: Mapping[str, int] | None = None,
    ) -> list[Action]:
        """An authenticated socket is there. `last_segment_ids`: per stream the highest final that the client holds."""
        if not self._move(SessionMove.CONNECT):
            return refusal(Code.SESSION_EXPIRED, "the session has expired; begin a new one", now)
        self._auth_deadline = None
        self._refused = 0
        for stream in self._streams.values():
            stream.proceed(now)
        data = m.SessionData(
            session_id=self.session_id,
            resume_token=resume_token,
            expires_at=expires_at,
            resumed=resumed,
            streams=self._stream_states(),
            limits=limits_data(self._limits),
        )
        opening: list[m.ServerMessage] = [m.SessionMessage(timestamp=int(now), data=data)]
        return [SendMessage(message) for message in opening + self._missed(last_segment_ids or {})]

    def refused(self, now: float, *, code: Code = Code.UNAUTHENTICATED, message: str = "") -> list[Action]:
        """The credential of `Authenticate` or `ResumeSession` was not good; an open session goes on without."""
        problem = Problem(code, message or "the credential is not valid")
        if self.phase is SessionPhase.OPEN:
            return [self._tell(problem, now)]
        close = ERRORS[code].close or CloseCode.UNAUTHENTICATED
        return [self._tell(problem, now), CloseSocket(int(close), str(code))]

    def disconnected(self, now: float, *, clean: bool) -> list[Action]:
        """The socket is gone. After a clean close by the client every stream ends; else all wait for its return."""
        self._move(SessionMove.DISCONNECT)
        self._auth_deadline = None
        if clean:
            return self._end_all(now)
        for stream in self._streams.values():
            stream.pause()
        return []

    def expire(self, now: float) -> list[Action]:
        """The grace time is over: streams end, their last results are still stored."""
        self._move(SessionMove.EXPIRE)
        self._auth_deadline = None
        return self._end_all(now)

    def end_streams(self, now: float) -> list[Action]:
        """The gateway is going: every stream ends as by `stream_end`, and its client, if there, is told the rest."""
        return self._end_all(now)

    def update_services(self, snapshot: GatewaySnapshot) -> None:
        """What the next `status` says about the gateway."""
        self._snapshot = snapshot

    # --- time ---

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        if self._auth_deadline is not None and now >= self._auth_deadline:
            self._auth_deadline = None
            return refusal(Code.UNAUTHENTICATED, "no credential was given in time", now)
        actions: list[Action] = []
        for stream in self._streams.values():
            actions += stream.tick(now)
        return self._deliver(actions)

    def next_deadline(self) -> float | None:
        """When `tick` is due, UNIX seconds; None: nothing to wait for."""
        deadlines = [self._auth_deadline, *(stream.deadline() for stream in self._streams.values())]
        return min((due for due in deadlines if due is not None), default=None)

    # --- frames ---

    def receive_text(self, text: str, now: float) -> list[Action]:
        """A text frame."""
        if len(text) > self._limits.max_message_bytes:
            return self._too_large(now)
        message = decode_text(text, max_chunk_bytes=self._limits.max_chunk_bytes)
        if isinstance(message, Problem):
            return self._settle(message, now)
        if not self._may_speak(message):
            return self._settle(self._unauthenticated(), now)
        if not isinstance(message, m.StreamChunk | m.MediaPacket) and (limited := self._charge(now)) is not None:
            return limited
        outcome = self._dispatch(message, now)
        return self._deliver(outcome) if isinstance(outcome, list) else self._settle(outcome, now, charged=True)

    def receive_binary(self, payload: bytes, now: float) -> list[Action]:
        """A binary frame: a tagged chunk, or the next raw chunk of the only open stream."""
        if len(payload) > self._limits.max_message_bytes:
            return self._too_large(now)
        if self.phase is not SessionPhase.OPEN:
            return self._settle(self._unauthenticated(), now)
        return self._settle(self._binary_chunk(payload, now), now)

    # --- workers ---

    def receive_result(self, key: TaskKey, result: task_pb2.TaskResult, now: float) -> list[Action]:
        """A result of one of the calls opened; anything that comes too late is dropped."""
        stream = self._streams.get(key.stream_id)
        return [] if stream is None else self._deliver(stream.result(key.service_type, result, now))

    def task_failover(self, key: TaskKey, replayed_from: int, now: float) -> list[Action]:
        """A call went on at another worker, from this chunk on (in the workers' count)."""
        stream = self._streams.get(key.stream_id)
        return [] if stream is None else self._deliver(stream.failover(key.service_type, replayed_from, now))

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
                stream = self._open_stream(message.stream_id)
                return stream if isinstance(stream, Problem) else stream.flush(message.flush_id, now)
            case m.StreamEnd():
                stream = self._open_stream(message.stream_id)
                return stream if isinstance(stream, Problem) else stream.end(now)
            case m.Ping():
                return [SendMessage(_pong(message, now))]
            case m.Status():
                states = self._stream_states()
                return [SendMessage(status_message(self._snapshot, self.session_id, states, self._limits, now=now))]
            case m.Auth():
                if self.phase is SessionPhase.OPEN:
                    return Problem(Code.BAD_MESSAGE, "type: this connection is authenticated already", field="type")
                return [Authenticate(message.token)]
            case m.SessionResume():
                last = {point.stream_id: point.last_segment_id for point in message.streams}
                return [ResumeSession(message.session_id, message.token, last)]

    def _stream_start(self, start: m.StreamStart, now: float) -> Outcome:
        stream_id = start.stream_id or self._free_id("stream")
        return self._begin(start, stream_id, now, packets=False)

    def _begin(
        self, start: m.StreamStart, stream_id: str, now: float, *, packets: bool, implicit: bool = False
    ) -> Outcome:
        if stream_id in self._used_ids:
            problem = Problem(Code.STREAM_EXISTS, "stream_id: this session has used it already", field="stream_id")
            return problem.of_stream(stream_id)
        spec = negotiate(start, stream_id, packets=packets)
        if isinstance(spec, Problem):
            return spec.of_stream(stream_id)
        going = sum(stream.ended_message is None for stream in self._streams.values())
        if going >= self._limits.max_open_streams or len(self._used_ids) >= self._limits.max_streams:
            return Problem(Code.TOO_MANY_STREAMS, "the session has as many streams as it may").of_stream(stream_id)
        if not packets and (wait_ms := self._wait_for_room(spec)) is not None:
            return Problem(Code.BUSY, "every worker slot is taken", retry_after_ms=wait_ms).of_stream(stream_id)
        self._used_ids.add(stream_id)
        self._handles += 1
        stream = Stream(self.session_id, spec, handle=self._handles, limits=self._limits)
        stream.implicit = implicit
        self._streams[stream_id] = stream
        self._forget_ended()
        return stream.start(now)

    def _wait_for_room(self, spec: StreamSpec) -> int | None:
        """Milliseconds after which to ask again where no service of a stream has room; None: one may have some.

        Not asked for packets: their sender takes no such answer, and the next packet would be refused like the first.
        """
        waits = [wait for service in spec.services if (wait := self._busy(service)) is not None]
        return max(waits) if len(waits) == len(spec.services) else None

    def _forget_ended(self) -> None:
        ended = [stream_id for stream_id, stream in self._streams.items() if stream.ended_message is not None]
        for stream_id in ended[: max(0, len(ended) - self._limits.kept_streams)]:
            del self._streams[stream_id]

    def _free_id(self, prefix: str) -> str:
        number = 1
        while f"{prefix}-{number}" in self._used_ids:
            number += 1
        return f"{prefix}-{number}"

    def _chunk(self, chunk: m.StreamChunk, now: float) -> Outcome:
        stream = self._open_stream(chunk.stream_id)
        if isinstance(stream, Problem):
            return stream
        return self._offer(stream, chunk.sequence, chunk.payload, chunk.timestamp_ms, now)

    def _packet(self, packet: m.MediaPacket, now: float) -> Outcome:
        """A TalkUp packet: to its implicit stream, which it begins where there is none."""
        stream_id = packet.stream_id or self._packet_streams.get(packet.kind)
        stream = self._streams.get(stream_id) if stream_id else None
        if stream is not None and stream.is_open:
            return self._offer(stream, packet.sequence, packet.payload, packet.timestamp_ms, now)
        if packet.stream_id is None:
            if stream_id is not None and not _may_begin(packet):
                return self._packet_orphan(packet.kind, now)
            stream_id = self._free_id(packet.kind)
        start = m.StreamStart(format=packet.format, kind=None if packet.format else packet.kind)
        implicit = packet.stream_id is None
        outcome = self._begin(start, stream_id or packet.kind, now, packets=True, implicit=implicit)
        if isinstance(outcome, Problem):
            return outcome
        stream = self._streams[stream_id or packet.kind]
        if packet.stream_id is None:
            self._packet_streams[packet.kind] = stream.stream_id
            self._packet_orphan_told.discard(packet.kind)
        chunk = self._offer(stream, packet.sequence, packet.payload, packet.timestamp_ms, now)
        return [*outcome, *(chunk if isinstance(chunk, list) else [self._tell(chunk, now)])]

    def _packet_orphan(self, kind: m.Kind, now: float) -> Outcome:
        """A packet after the end of its implicit stream that does not begin a recording."""
        if kind in self._packet_orphan_told:
            return []
        self._packet_orphan_told.add(kind)
        problem = Problem(Code.ORPHAN_CHUNK, f"the {kind} stream has ended; a new recording begins a new one")
        return [self._tell(problem, now)]

    def _binary_chunk(self, payload: bytes, now: float) -> Outcome:
        going = [stream for stream in self._streams.values() if stream.is_open]
        tagged = {stream.handle: stream for stream in self._streams.values() if stream.spec.tagged}
        raw = [stream for stream in going if not stream.spec.tagged]
        frame = decode_tagged(payload) if tagged else None
        if frame is not None and (named := tagged.get(frame.handle)) is not None:
            # Also of a stream that has ended: a late frame of it is none of the raw stream's media.
            stream = self._open_stream(named.stream_id)
            if isinstance(stream, Problem):
                return stream
            return self._offer(stream, frame.sequence, frame.payload, None, now)
        if len(raw) == 1:
            return self._offer(raw[0], None, payload, None, now)
        if raw:
            message = "framing: several raw streams are open; start them with framing tagged"
            return Problem(Code.BAD_MESSAGE, message, field="framing")
        if frame is None and any(stream.spec.tagged for stream in going):
            return Problem(Code.BAD_PAYLOAD, "the binary frame has no header of a tagged chunk", field="framing")
        field = "handle" if tagged else "stream_id"
        return Problem(Code.UNKNOWN_STREAM, "no open stream takes this binary frame", field=field)

    def _offer(self, stream: Stream, number: int | None, payload: bytes, capture_ms: int | None, now: float) -> Outcome:
        if len(payload) > self._limits.max_chunk_bytes:
            problem = Problem(
                Code.PAYLOAD_TOO_LARGE, f"at most {self._limits.max_chunk_bytes} bytes a chunk", field="data"
            )
            return problem.of_stream(stream.stream_id)
        return stream.chunk(number, payload, capture_ms, now)

    def _open_stream(self, stream_id: str | None) -> Stream | Problem:
        """The stream of this name; without a name the only one that is open."""
        if stream_id is None:
            going = [stream for stream in self._streams.values() if stream.is_open]
            if len(going) == 1:
                return going[0]
            if going:
                return Problem(Code.BAD_MESSAGE, "stream_id: is required while several are open", field="stream_id")
            return Problem(Code.UNKNOWN_STREAM, "no stream is open", field="stream_id")
        stream = self._streams.get(stream_id)
        if stream is None or not stream.is_open:
            message = "stream_id: no such stream is open; begin it with stream_start"
            return Problem(Code.UNKNOWN_STREAM, message, stream_id=stream_id, field="stream_id")
        return stream

    # --- refusing ---

    def _may_speak(self, message: m.ClientMessage) -> bool:
        if self.phase is SessionPhase.OPEN:
            return True
        return self.phase is SessionPhase.WAITING and isinstance(message, m.Auth | m.SessionResume)

    def _unauthenticated(self) -> Problem:
        return Problem(Code.UNAUTHENTICATED, "give a credential in an auth message first", field="type")

    def _settle(self, outcome: Outcome, now: float, *, charged: bool = False) -> list[Action]:
        """Turn an outcome into actions; a problem counts against the budget unless its message already did."""
        if isinstance(outcome, list):
            return self._deliver(outcome)
        if not charged and (limited := self._charge(now)) is not None:
            return limited
        return [self._tell(outcome, now)]

    def _charge(self, now: float) -> list[Action] | None:
        """Take from the budget of control messages; what to do instead if it is spent."""
        wait = self._budget.take(now)
        if not wait:
            self._refused = 0
            return None
        self._refused += 1
        if self._refused > self._limits.max_refused:
            self._refused = 0
            return refusal(Code.RATE_LIMITED, "too many messages", now)
        if self._refusal_told_at is not None and 0 <= now - self._refusal_told_at < _REFUSAL_INTERVAL:
            return []
        self._refusal_told_at = now
        retry_after_ms = int(wait * 1000) + 1
        return [self._tell(Problem(Code.RATE_LIMITED, "too many messages", retry_after_ms=retry_after_ms), now)]

    def _too_large(self, now: float) -> list[Action]:
        return refusal(Code.PAYLOAD_TOO_LARGE, f"at most {self._limits.max_message_bytes} bytes a message", now)

    def _tell(self, problem: Problem, now: float) -> SendMessage:
        return SendMessage(error_message(problem, now=now))

    # --- keeping ---

    def _deliver(self, actions: Iterable[Action]) -> list[Action]:
        """While no socket is there, keep what the client must not miss and drop the rest of its messages."""
        if self.phase is SessionPhase.OPEN or self.phase is SessionPhase.WAITING:
            return list(actions)
        kept: list[Action] = []
        for action in actions:
            if not isinstance(action, SendMessage):
                kept.append(action)
            elif _must_arrive(action.message) and self.phase is SessionPhase.DETACHED:
                self._undelivered.append(action.message)
        return kept

    def _missed(self, last_segment_ids: Mapping[str, int]) -> list[m.ServerMessage]:
        """What a returning client has not seen: by its own account where it gave one, else what was kept for it."""
        missed: list[m.ServerMessage] = []
        for stream_id, segment_id in last_segment_ids.items():
            if (stream := self._streams.get(stream_id)) is not None:
                missed += stream.segments.after(segment_id)
        missed += (
            message
            for message in self._undelivered
            if not (isinstance(message, m.TranscriptUpdate | m.StreamEnded) and message.stream_id in last_segment_ids)
        )
        for stream_id in last_segment_ids:
            if (stream := self._streams.get(stream_id)) is not None and stream.ended_message is not None:
                missed.append(stream.ended_message)
        self._undelivered.clear()
        return missed

    def _end_all(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for stream in self._streams.values():
            if stream.is_open:
                actions += stream.end(now)
        return self._deliver(actions)

    def _stream_states(self) -> list[m.StreamState]:
        return [stream.state() for stream in self._streams.values()]

    def _move(self, move: SessionMove) -> bool:
        """Whether the move is legal; an illegal one changes nothing."""
        try:
            self.phase = moved(SESSION_TABLE, self.phase, move)
        except IllegalMoveError:
            return False
        return True


def _must_arrive(message: m.ServerMessage) -> bool:
    match message:
        case m.TranscriptUpdate():
            return message.data.is_final
        case m.StreamEnded() | m.ErrorMessage():
            return True
        case _:
            return False


def _may_begin(packet: m.MediaPacket) -> bool:
    """Whether a packet begins a recording, as far as its format shows such a thing."""
    fmt = parse_format(packet.format or packet.kind)
    if isinstance(fmt, Problem) or not has_headers(fmt):
        return True
    return match_header(packet.payload) is not HeaderMatch.NO


def _pong(ping: m.Ping, now: float) -> m.Pong:
    """Echo a ping: an object as it is, any other `data` under `echo`."""
    data: dict[str, object] = {}
    if isinstance(ping.data, dict):
        data.update(ping.data)
    elif ping.data is not UNSET:
        data["echo"] = ping.data
    if ping.payload is not UNSET:
        data["payload"] = ping.payload
    if ping.timestamp_ms is not None:
        data["client_time_ms"] = ping.timestamp_ms
    data["server_time_ms"] = int(now * 1000)
    return m.Pong(timestamp=int(now), payload=ping.payload, data=data)
