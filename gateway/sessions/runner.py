"""A session at work: performs what the protocol core decides, outlives its sockets, and owns its worker streams.

Everything here happens on the event loop without waiting; only the pumps, one per worker stream, wait for results.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import structlog
from talkup.v1 import error_pb2, task_pb2, transcript_pb2

from gateway.auth import Audience, Authenticator
from gateway.config import GatewayConfig
from gateway.metrics import Metrics
from gateway.outbox import Outbox, must_arrive, stream_of
from gateway.protocol.actions import (
    Action,
    Authenticate,
    CancelTask,
    CloseSocket,
    ForwardTask,
    OpenTask,
    ResumeSession,
    SendMessage,
    StoreSegment,
    StoreSnapshot,
    StoreStreamEnd,
    TaskKey,
)
from gateway.protocol.errors import CloseCode, Code
from gateway.protocol.limits import Limits
from gateway.protocol.messages import ErrorMessage, ServerMessage, StreamEnded, TranscriptUpdate
from gateway.protocol.negotiation import service_name
from gateway.protocol.session import Session, refusal
from gateway.protocol.snapshot import SnapshotError, StreamSnapshot, decode_snapshot
from gateway.protocol.states import SessionPhase
from gateway.sessions.frame_counter import FrameCounter
from gateway.status import StatusSource
from gateway.store.sqlite import Store, StoredSession, StreamStart
from gateway.transcript_formats import Segment, Word
from gateway.upstream.pool import FailoverNotice, TaskStream, Upstream

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tools:
    """What every session of a gateway shares. `clock` gives UNIX seconds."""

    config: GatewayConfig
    limits: Limits
    upstream: Upstream
    store: Store
    metrics: Metrics
    authenticator: Authenticator
    status: StatusSource
    clock: Callable[[], float]


class Peer(Protocol):
    """A session's socket, as the session sees it."""

    @property
    def outbox(self) -> Outbox:
        """Where messages for the client go."""
        ...

    def authenticate(self, token: str) -> None:
        """Check a credential that came as a message."""
        ...

    def resume(self, request: ResumeSession) -> None:
        """Hand the socket to another session."""
        ...


class SessionRunner:
    """One session with its worker streams; at most one socket at a time is attached to it.

    `on_finished` is called once, when the session is over: its grace time has passed and its last stream has ended.
    """

    def __init__(self, session_id: str, tools: Tools, on_finished: Callable[[SessionRunner], None]) -> None:
        self.session_id = session_id
        self.session = Session(session_id, limits=tools.limits, busy=tools.upstream.busy)
        self.expired = False
        self.quiet = asyncio.Event()
        self._tools = tools
        self._on_finished = on_finished
        self._finished = False
        self._resumable = False
        self._peer: Peer | None = None
        self._streams: dict[TaskKey, TaskStream] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._stream_keys: dict[str, str] = {}
        self._latest_chunk: dict[str, float] = {}
        self._frame_counter = FrameCounter()
        self._was_open = False
        self._unsent: list[ServerMessage] = []
        self._unsaved: Future[None] | None = None
        self._tick: asyncio.TimerHandle | None = None
        self._grace: asyncio.TimerHandle | None = None

    @property
    def dispensable(self) -> bool:
        """Whether nobody is connected and no stream goes on: only a return within the grace time is waited for."""
        return self._peer is None and not self._streams

    def restore(self, stored: StoredSession) -> None:
        """Take the session up where another process left it; to be done before a socket is attached."""
        streams: dict[str, tuple[StreamSnapshot, list[transcript_pb2.Transcript]]] = {}
        for each in stored.streams:
            try:
                snapshot = decode_snapshot(each.state)
            except SnapshotError:
                log.warning("stream cannot be taken up", session_id=self.session_id, stream_id=each.stream_id)
                continue
            streams[each.stream_id] = (snapshot, [_transcript(segment) for segment in each.segments])
            if not snapshot.ended:
                self._stream_keys[each.stream_id] = each.stream_key
        self._was_open = True
        used = [each.stream_id for each in stored.streams]
        self.perform(self.session.restore(streams.values(), used, self._tools.clock()))

    # --- sockets come and go

    @property
    def peer(self) -> Peer | None:
        """The attached socket."""
        return self._peer

    def hold(self, peer: Peer) -> None:
        """Attach a socket that has not shown a credential yet."""
        self._peer = peer
        self.perform(self.session.await_auth(self._tools.clock()))

    def attach(self, peer: Peer, last_segment_ids: Mapping[str, int] | None = None) -> None:
        """Give the session this socket; one attached before is superseded and closed with 1000.

        `last_segment_ids` maps a stream to the highest final that the client says it holds.
        """
        now = self._tools.clock()
        if self._peer is not None and self._peer is not peer:
            self.perform(refusal(Code.SUPERSEDED, "a newer connection of this session took over", now))
            self._let_go(clean=False)
        self._cancel_grace()
        self._peer = peer
        self._save(self._tools.store.begin_session(self.session_id))
        minted = self._tools.authenticator.mint(self.session_id, Audience.RESUME)
        actions = self.session.connected(
            now,
            resumed=self._was_open,
            resume_token=minted.token,
            expires_at=minted.expires_at,
            last_segment_ids=last_segment_ids,
        )
        self._was_open = True
        told = last_segment_ids or {}
        unsent = [SendMessage(message) for message in self._unsent if stream_of(message) not in told]
        self._unsent.clear()
        self.perform([*actions[:1], *unsent, *actions[1:]])

    def detach(self, peer: Peer, *, clean: bool) -> None:
        """The socket is gone, by the client's own close (`clean`) or not. Ignored for one that is not attached."""
        if self._peer is not peer:
            return
        self._let_go(clean=clean)
        if self._finished:
            return
        if self.session.phase is SessionPhase.EXPIRED:  # its client never showed a credential
            self.expire()
            return
        loop = asyncio.get_running_loop()
        self._grace = loop.call_later(self._tools.config.session_grace_s, self.expire)

    def refuse(self, code: Code, message: str) -> None:
        """A credential that came as a message was not good."""
        self.perform(self.session.refused(self._tools.clock(), code=code, message=message))

    def wind_up(self) -> None:
        """The gateway is going: `quiet` is set once nothing is due any more. The socket stays and gets the last words.

        Streams that can be resumed elsewhere stay as they are, but for those whose client never sends twice.
        """
        session, now = self.session, self._tools.clock()
        self.quiet.clear()
        self.perform(session.flush_packets(now) if self._tools.store.durable else session.end_streams(now))
        self._note_quiet()

    def _note_quiet(self) -> None:
        if not self.session.owes_results:
            self.quiet.set()

    def _let_go(self, *, clean: bool) -> None:
        """Part with the socket; keep what it was to be told and was not, as far as that must arrive."""
        peer, self._peer = self._peer, None
        if peer is not None and self._was_open:
            unsent = peer.outbox.unsent()
            self._unsent += [message for message in unsent if must_arrive(message) and not _of_the_socket(message)]
        self.perform(self.session.disconnected(self._tools.clock(), clean=clean))

    def expire(self) -> None:
        """End the session: open streams end as by `stream_end`; it is over once their last results are in."""
        if self.expired:
            return
        self.expired = True
        self._cancel_grace()
        self.perform(self.session.expire(self._tools.clock()))
        self._finish_when_idle()

    def abandon(self) -> None:
        """Another gateway has the session: part with it, without a trace in the store."""
        if self._peer is not None:
            self.perform(refusal(Code.SUPERSEDED, "the session goes on at another gateway", self._tools.clock()))
        self.shut(CloseCode.NORMAL, "superseded", resumable=True)

    def shut(self, code: int, reason: str, *, resumable: bool = False) -> None:
        """Drop everything at once: no more results are awaited, the socket is closed with `code`.

        `resumable`: another process may take the session up where the store has it.
        """
        self.expired = True
        self._resumable = resumable
        if self._peer is not None:
            self._peer.outbox.close(code, reason)
        for stream in self._streams.values():
            stream.cancel()
        for pump in self._pumps:
            pump.cancel()
        self._streams.clear()
        self.quiet.set()
        self._finish_when_idle()

    async def settled(self) -> None:
        """Wait for the end of every pump; after `shut`, that is soon."""
        await asyncio.gather(*self._pumps, return_exceptions=True)

    # --- input

    def receive(self, message: str | bytes) -> None:
        """Take a WebSocket message."""
        now = self._tools.clock()
        if isinstance(message, str):
            self.session.update_services(self._tools.status.current(now))
            self.perform(self.session.receive_text(message, now))
        else:
            self.perform(self.session.receive_binary(message, now))

    def congested_stream(self) -> TaskStream | None:
        """A worker stream that is too far behind to take more, if there is one."""
        return next((stream for stream in self._streams.values() if stream.congested), None)

    def tell_congestion(self) -> None:
        """Tell the client, by `flow`, how far behind its streams are: it is not being read."""
        now = self._tools.clock()
        for key, stream in list(self._streams.items()):
            if stream.congested:
                behind = task_pb2.TaskResult(flow=task_pb2.Flow(behind_ms=stream.behind_ms))
                self.perform(self.session.receive_result(key, behind, now))

    # --- output

    def perform(self, actions: Iterable[Action]) -> None:
        """Do what the core decided, in its order."""
        for action in actions:
            match action:
                case SendMessage(message):
                    self._send(message)
                case ForwardTask(key, request):
                    self._forward(key, request)
                case OpenTask(key, request, resumed):
                    self._open(key, request, resumed=resumed)
                case CancelTask(key):
                    self._cancel(key)
                case StoreSegment(stream_id, result, snapshot):
                    self._store_segment(stream_id, result, snapshot)
                case StoreSnapshot(snapshot):
                    self._store_snapshot(snapshot)
                case StoreStreamEnd(stream_id, ended, snapshot):
                    self._store_end(stream_id, ended, snapshot)
                case Authenticate(token) if self._peer is not None:
                    self._peer.authenticate(token)
                case ResumeSession() if self._peer is not None:
                    self._peer.resume(action)
                case CloseSocket(code, reason) if self._peer is not None:
                    self._peer.outbox.close(code, reason)
        self._schedule_tick()

    def _send(self, message: ServerMessage) -> None:
        match message:
            case ErrorMessage(data=data):
                self._tools.metrics.errors.labels(data.code).inc()
            case TranscriptUpdate(data=data) if data.is_final:
                self._observe_final(data.stream_id)
        if self._peer is not None:
            self._peer.outbox.put(message, self._unsaved)

    def _observe_final(self, stream_id: str) -> None:
        metrics = self._tools.metrics
        metrics.finals.inc()
        latest = self._latest_chunk.get(stream_id)
        if latest is not None:
            metrics.final_latency.observe(max(0.0, self._tools.clock() - latest))

    def _open(self, key: TaskKey, request: task_pb2.TaskRequest, *, resumed: bool) -> None:
        now = self._tools.clock()
        if key.stream_id not in self._stream_keys:
            stream_key = uuid.uuid4().hex
            self._stream_keys[key.stream_id] = stream_key
            self._save(
                self._tools.store.begin_stream(StreamStart(self.session_id, stream_key, key.stream_id, started_at=now))
            )
        service = service_name(key.service_type)
        log.info("stream opened", session_id=self.session_id, stream_id=key.stream_id, service=service)
        stream = self._tools.upstream.open(key.service_type, request, resumed=resumed)
        self._streams[key] = stream
        pump = asyncio.get_running_loop().create_task(self._pump(key, stream))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    def _forward(self, key: TaskKey, request: task_pb2.TaskRequest) -> None:
        stream = self._streams.get(key)
        if stream is None:
            return
        if request.WhichOneof("payload") == "chunk":
            self._latest_chunk[key.stream_id] = self._tools.clock()
            self._tools.metrics.chunk_forwarded(key.service_type)
        stream.offer(request)

    def _cancel(self, key: TaskKey) -> None:
        stream = self._streams.get(key)
        if stream is not None:
            stream.cancel()

    async def _pump(self, key: TaskKey, stream: TaskStream) -> None:
        """Carry a worker stream's results into the core until it is over."""
        try:
            async for item in stream.results():
                self._take(key, item)
        except Exception:
            # The one door of a pump: a defect met by one stream ends that stream, with an error, and no other.
            log.exception("stream failed", session_id=self.session_id, stream_id=key.stream_id)
            stream.cancel()
            self._take(key, _internal_error(self.session_id, key))
        finally:
            if self._streams.get(key) is stream:
                del self._streams[key]
            self._note_quiet()
            self._finish_when_idle()

    def _take(self, key: TaskKey, item: task_pb2.TaskResult | FailoverNotice) -> None:
        now = self._tools.clock()
        if isinstance(item, FailoverNotice):
            self.perform(self.session.task_failover(key, item.replayed_from, now))
        else:
            if item.WhichOneof("result") == "flow":
                for outcome, count in self._frame_counter.increments(key.stream_id, item.flow).items():
                    self._tools.metrics.video_frames.labels(outcome).inc(count)
            self.perform(self.session.receive_result(key, item, now))
        self._note_quiet()

    # --- what is kept

    def _store_segment(self, stream_id: str, result: task_pb2.TaskResult, snapshot: StreamSnapshot | None) -> None:
        stream_key = self._stream_keys.get(stream_id)
        if stream_key is not None:
            state = None if snapshot is None else snapshot.encode()
            self._save(self._tools.store.add_segment(self.session_id, stream_key, _segment(result), state))

    def _store_snapshot(self, snapshot: StreamSnapshot) -> None:
        stream_key = self._stream_keys.get(snapshot.stream_id)
        if stream_key is not None:
            self._save(self._tools.store.save_state(self.session_id, stream_key, snapshot.encode()))

    def _store_end(self, stream_id: str, ended: StreamEnded, snapshot: StreamSnapshot) -> None:
        stream_key = self._stream_keys.pop(stream_id, None)
        self._latest_chunk.pop(stream_id, None)
        if stream_key is not None:
            self._save(self._tools.store.end_stream(self.session_id, stream_key, snapshot.encode()))
        totals = ended.data
        log.info(
            "stream ended",
            session_id=self.session_id,
            stream_id=stream_id,
            chunks=totals.chunks,
            bytes=totals.bytes,
            media_seconds=totals.media_seconds,
            segments=totals.segments,
            gaps=totals.gaps,
            missing_chunks=totals.missing_chunks,
            damaged_bytes=totals.damaged_bytes,
            failovers=totals.failovers,
        )

    def _save(self, write: Future[None]) -> None:
        """Messages put from now on wait for this write: writes keep their order, so the latest covers all."""
        self._unsaved = None if write.done() and write.exception() is None else write
        write.add_done_callback(self._count_failure)

    def _count_failure(self, write: Future[None]) -> None:
        if write.exception() is not None:
            self._tools.metrics.store_failures.inc()

    # --- time

    def _schedule_tick(self) -> None:
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        deadline = self.session.next_deadline()
        if deadline is not None and not self._finished:
            delay = max(0.0, deadline - self._tools.clock())
            self._tick = asyncio.get_running_loop().call_later(delay, self._on_tick)

    def _on_tick(self) -> None:
        self._tick = None
        self.perform(self.session.tick(self._tools.clock()))

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None

    def _finish_when_idle(self) -> None:
        if not self.expired or self._streams or self._finished:
            return
        self._finished = True
        self._save(self._tools.store.release(self.session_id, closed=not self._resumable))
        self._cancel_grace()
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        self._on_finished(self)


def _segment(result: task_pb2.TaskResult) -> Segment:
    spoken = result.transcript
    return Segment(
        segment_id=spoken.segment_id,
        text=spoken.text,
        language=spoken.language,
        confidence=round(spoken.confidence, 4),
        start_ms=spoken.start_ms,
        end_ms=spoken.end_ms,
        words=tuple(Word(w.text, w.start_ms, w.end_ms, round(w.confidence, 4)) for w in spoken.words),
        revision=spoken.revision,
    )


def _transcript(segment: Segment) -> transcript_pb2.Transcript:
    words = [
        transcript_pb2.Word(text=w.word, start_ms=w.start_ms, end_ms=w.end_ms, confidence=w.confidence)
        for w in segment.words
    ]
    return transcript_pb2.Transcript(
        segment_id=segment.segment_id,
        revision=segment.revision,
        is_final=True,
        text=segment.text,
        stable_chars=len(segment.text),
        language=segment.language,
        confidence=segment.confidence,
        start_ms=segment.start_ms,
        end_ms=segment.end_ms,
        words=words,
    )


def _internal_error(session_id: str, key: TaskKey) -> task_pb2.TaskResult:
    error = error_pb2.Error(
        status_code=13,
        code=error_pb2.ERROR_CODE_INTERNAL,
        message="the gateway met a defect on this stream",
        retryable=True,
        fatal=True,
    )
    return task_pb2.TaskResult(
        session_id=session_id, stream_id=key.stream_id, service_type=key.service_type, error=error
    )


def _of_the_socket(message: ServerMessage) -> bool:
    """Whether a message tells a socket of its own end, which is no news to the one after it."""
    return isinstance(message, ErrorMessage) and message.data.code == Code.SUPERSEDED
