"""A small gateway in the test's own process: real WebSockets, the protocol's messages, text made of the bytes received.

Every `COMMIT_EVERY` chunks become one final whose text names their bytes, so a lost, doubled or misplaced chunk shows
in the transcript.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bench.harness.schema_check import spoken

KEY = "test-key"
COMMIT_EVERY = 4
SLICE_MS = 100


@dataclass
class FakeStream:
    """One stream of a session; `chunks` holds what was received, in order, without doubles."""

    stream_id: str
    handle: int
    start: dict[str, Any]
    chunks: list[bytes] = field(default_factory=list)
    committed: int = -1
    finals: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    @property
    def received(self) -> int:
        return len(self.chunks) - 1


@dataclass
class FakeSession:
    session_id: str
    streams: dict[str, FakeStream] = field(default_factory=dict)


def words_of(payload: bytes) -> str:
    """The text that stands for some bytes."""
    return "w" + hashlib.sha256(payload).hexdigest()[:8]


class FakeGateway:
    """Serves on loopback. The connection is cut at each of `drop_after_chunks` and at the first `drop_at_statuses`,
    `drop_at_starts`, `drop_at_flushes` and `drop_at_ends`; `end_after_chunks`: the gateway ends streams by itself;
    the first `busy_connections` and `full_starts` are refused; no start is answered while `may_accept` is clear, no
    flush while `may_flush` is; `decodes` false: it can decode no media; `signs_anew`: it refuses its earlier tokens,
    but not the key."""

    def __init__(
        self,
        *,
        drop_after_chunks: tuple[int, ...] = (),
        drop_at_statuses: int = 0,
        drop_at_starts: int = 0,
        drop_at_flushes: int = 0,
        drop_at_ends: int = 0,
        busy_connections: int = 0,
        full_starts: int = 0,
        decodes: bool = True,
        end_after_chunks: int | None = None,
        reject: dict[str, Any] | None = None,
    ) -> None:
        self.sessions: dict[str, FakeSession] = {}
        self.drops = list(drop_after_chunks)
        self.drop_at_statuses = drop_at_statuses
        self.drop_at_starts = drop_at_starts
        self.drop_at_flushes = drop_at_flushes
        self.drop_at_ends = drop_at_ends
        self.busy_connections = busy_connections
        self.full_starts = full_starts
        self.decodes = decodes
        self.end_after_chunks = end_after_chunks
        self.starts = 0
        self.start_came = asyncio.Event()
        self.may_accept = asyncio.Event()
        self.may_accept.set()
        self.may_flush = asyncio.Event()
        self.may_flush.set()
        self.answers: set[asyncio.Task[None]] = set()
        self.reject = reject
        self.forget_sessions = False
        self.signs_anew = False
        self.connections = 0
        self.refuse_next_handshakes = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"ws://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/ws"

    def streams(self) -> list[FakeStream]:
        return [stream for session in self.sessions.values() for stream in session.streams.values()]

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeGateway]:
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._admit) as server:
            self._server = server
            yield self

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != "/ws":
            return connection.respond(HTTPStatus.NOT_FOUND, "no")
        if self.refuse_next_handshakes:
            self.refuse_next_handshakes -= 1
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "draining")
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        self.connections += 1
        if self.busy_connections:
            self.busy_connections -= 1
            data = {"code": "busy", "message": "the gateway is full", "retryable": True, "retry_after_ms": 1500}
            await socket.send(json.dumps({"type": "error", "timestamp": 0, "protocol_version": "1.0", "data": data}))
            await socket.close(1013)
            return
        session = FakeSession(f"s{self.connections}")
        self.sessions[session.session_id] = session
        peer = Peer(self, socket, session)
        try:
            await peer.opened(resumed=False)
            async for message in socket:
                await peer.receive(message)
        except ConnectionClosed:
            pass


class Peer:
    """One connection's half of the conversation."""

    def __init__(self, gateway: FakeGateway, socket: ServerConnection, session: FakeSession) -> None:
        self._gateway = gateway
        self._socket = socket
        self._session = session

    async def opened(self, *, resumed: bool) -> None:
        streams = [
            {
                "stream_id": stream.stream_id,
                "state": "ended" if stream.ended else "open",
                "handle": stream.handle,
                "next_sequence": stream.received + 1,
                "received": stream.received,
                "committed": stream.committed,
                "last_segment_id": len(stream.finals),
            }
            for stream in self._session.streams.values()
        ]
        await self._say(
            "session",
            session_id=self._session.session_id,
            resume_token=f"resume-{self._session.session_id}",
            expires_at=2_000_000_000,
            resumed=resumed,
            streams=streams,
            limits={"max_chunk_bytes": 65536},
        )

    async def receive(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            magic, version, handle, sequence = struct.unpack(">BBHI", message[:8])
            assert (magic, version) == (0x54, 1)
            stream = next(s for s in self._session.streams.values() if s.handle == handle)
            await self._chunk(stream, sequence, message[8:])
            return
        body = json.loads(message)
        await getattr(self, "_on_" + body["type"])(body["data"])

    async def _chunk(self, stream: FakeStream, sequence: int, payload: bytes) -> None:
        assert sequence <= stream.received + 1, "a chunk was skipped"
        if sequence == stream.received + 1:
            stream.chunks.append(payload)
        if self._gateway.drops and len(stream.chunks) >= self._gateway.drops[0]:
            self._gateway.drops.pop(0)
            self._socket.transport.abort()
            return
        if len(stream.chunks) == self._gateway.end_after_chunks:
            await self._on_stream_end({"stream_id": stream.stream_id})
            return
        if stream.received - stream.committed >= COMMIT_EVERY:
            await self._commit(stream)
            await self._acknowledge(stream)

    async def _commit(self, stream: FakeStream) -> None:
        covered = stream.chunks[stream.committed + 1 :]
        if not covered or not self._gateway.decodes:
            return
        final = {
            "stream_id": stream.stream_id,
            "segment_id": len(stream.finals) + 1,
            "revision": 1,
            "is_final": True,
            "text": words_of(b"".join(covered)),
            "stable_chars": 9,
            "confidence": 0.9,
            "language": "en",
            "start_ms": (stream.committed + 1) * SLICE_MS,
            "end_ms": len(stream.chunks) * SLICE_MS,
            "words": [],
        }
        await self._say("transcript_update", **{**final, "is_final": False, "revision": 0})
        stream.committed = stream.received
        stream.finals.append(final)
        await self._say("transcript_update", **final)

    async def _acknowledge(self, stream: FakeStream, **more: Any) -> None:
        await self._say(
            "acknowledge",
            stream_id=stream.stream_id,
            received=stream.received,
            committed=stream.committed,
            next_sequence=stream.received + 1,
            **more,
        )

    async def _on_stream_start(self, data: dict[str, Any]) -> None:
        if self._gateway.full_starts:
            self._gateway.full_starts -= 1
            full = {"code": "busy", "message": "every worker slot is taken", "retry_after_ms": 1500}
            await self._say("error", stream_id=data["stream_id"], retryable=True, **full)
            return
        if self._gateway.reject:
            await self._say("error", stream_id=data["stream_id"], retryable=False, **self._gateway.reject)
            return
        stream = FakeStream(data["stream_id"], len(self._session.streams) + 7, data)
        self._gateway.starts += 1
        self._session.streams[stream.stream_id] = stream
        if self._gateway.drop_at_starts:
            self._gateway.drop_at_starts -= 1
            self._socket.transport.abort()
            return
        self._gateway.start_came.set()
        await self._gateway.may_accept.wait()
        await self._acknowledge(stream, accepted=True, handle=stream.handle)

    async def _on_stream_flush(self, data: dict[str, Any]) -> None:
        if self._gateway.drop_at_flushes:
            self._gateway.drop_at_flushes -= 1
            self._socket.transport.abort()
            return
        answer = asyncio.create_task(self._answer_flush(data["stream_id"], data["flush_id"]))
        self._gateway.answers.add(answer)
        if self._gateway.may_flush.is_set():
            await answer

    async def _answer_flush(self, stream_id: str, flush_id: int) -> None:
        await self._gateway.may_flush.wait()
        stream = self._session.streams[stream_id]
        await self._commit(stream)
        await self._acknowledge(stream, flush_id=flush_id)

    async def _on_stream_end(self, data: dict[str, Any]) -> None:
        if self._gateway.drop_at_ends:
            self._gateway.drop_at_ends -= 1
            self._socket.transport.abort()
            return
        stream = self._session.streams[data["stream_id"]]
        await self._commit(stream)
        stream.ended = True
        await self._say(
            "stream_ended",
            stream_id=stream.stream_id,
            text=" ".join(final["text"] for final in stream.finals),
            media_seconds=len(stream.chunks) * SLICE_MS / 1000 if self._gateway.decodes else 0.0,
            chunks=len(stream.chunks),
        )

    async def _on_session_resume(self, data: dict[str, Any]) -> None:
        session = self._gateway.sessions.get(data["session_id"])
        if self._gateway.signs_anew and data["token"] != KEY:
            await self._say("error", code="unauthenticated", message="the token is not valid", retryable=False)
            return
        if data["token"] == KEY:
            data["token"] = f"resume-{data['session_id']}"
        if session is None or self._gateway.forget_sessions or data["token"] != f"resume-{data['session_id']}":
            await self._say("error", code="session_expired", message="the session is over", retryable=False)
            return
        self._session = session
        await self.opened(resumed=True)
        for point in data["streams"]:
            if stream := session.streams.get(point["stream_id"]):
                for final in stream.finals[point["last_segment_id"] :]:
                    await self._say("transcript_update", **final)

    async def _on_ping(self, data: dict[str, Any]) -> None:
        await self._say("pong", **data)

    async def _on_status(self, data: dict[str, Any]) -> None:
        if self._gateway.drop_at_statuses:
            self._gateway.drop_at_statuses -= 1
            self._socket.transport.abort()
            return
        services = [{"service": "stt", "models": ["fake"], "languages": ["en", "de"]}]
        await self._say("status", state="serving", version="0", services=services)

    async def _say(self, type_: str, **data: Any) -> None:
        await self._socket.send(json.dumps(spoken(type_, data)))
        await asyncio.sleep(0)
