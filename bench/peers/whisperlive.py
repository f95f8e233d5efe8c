"""WhisperLive: a WebSocket that receives the last segments of the text; its client keeps the completed ones."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.harness.stack import free_port
from bench.peers.peer import HOST, Media, PeerError, Screen, Serving
from bench.peers.process import listens, served

AT_ONCE = "END_OF_AUDIO at once"
PATIENT = "END_OF_AUDIO after 15 s without news"
_QUIET_S = 15.0
"""How long its client waits without a new text at the end of a file."""
_LONGEST_END_S = 60.0
_READY_S = 60.0
_RUN = """
import sys
from whisper_live.server import TranscriptionServer
TranscriptionServer().run(
    sys.argv[1], int(sys.argv[2]), backend="faster_whisper", faster_whisper_custom_model_path=sys.argv[3],
    single_model=True, max_clients=64,
)
"""


class WhisperLive:
    """The server as its start script runs a custom model: one model and one lock for all clients."""

    name = "whisperlive"
    version = "WhisperLive 0.10.0"
    endings: tuple[str, ...] = (AT_ONCE, PATIENT)
    spares = False
    streaming = True

    @contextmanager
    def start(self, model: Path, media: Media, processes: int = 1) -> Iterator[Serving]:
        """Start the server; it accepts audio in one form only."""
        port = free_port()
        with served("whisperlive", ["-c", _RUN, HOST, str(port), model], port, listens) as serving:
            yield serving

    async def open(self, port: int, media: Media) -> WhisperLiveSession:
        """A connection whose server has said SERVER_READY: the first one waits for the model."""
        session = WhisperLiveSession(port, media)
        await session.begin()
        return session


class WhisperLiveSession:
    """Its client. It treats a lost connection as an error and does not reconnect, even with `max_retries`."""

    def __init__(self, port: int, media: Media) -> None:
        self.screen = Screen()
        self._url = f"ws://{HOST}:{port}"
        self._media = media
        self._uid = str(uuid.uuid4())
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._done: list[dict[str, Any]] = []
        self._last: dict[str, Any] | None = None
        self._news_at = time.monotonic()
        self._problem = ""

    async def begin(self) -> None:
        """Connect and wait for the server. Raises PeerError."""
        try:
            self._socket = await connect(self._url, max_size=None, compression=None, close_timeout=2, ping_timeout=None)
            await self._socket.send(json.dumps(_options(self._uid)))
            self._reader = asyncio.create_task(self._read())
            async with asyncio.timeout(_READY_S):
                await self._ready.wait()
        except (OSError, WebSocketException, TimeoutError) as error:
            raise PeerError(str(error) or "no SERVER_READY in time") from error
        if self._problem:
            raise PeerError(self._problem)

    async def send(self, data: bytes) -> None:
        assert self._socket is not None
        if self._media == "pcm":
            data = (np.frombuffer(data, "<i2").astype(np.float32) / 32768).tobytes()
        with suppress(ConnectionClosed):
            await self._socket.send(data)

    async def end(self, ending: str) -> None:
        assert self._socket is not None
        assert self._reader is not None
        if self._reader.done():
            raise PeerError(self._problem)
        if ending == PATIENT:
            await self._wait_until_quiet(self._reader)
        with suppress(ConnectionClosed, TimeoutError):
            await self._socket.send(b"END_OF_AUDIO")
            async with asyncio.timeout(_QUIET_S):
                await asyncio.shield(self._reader)

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            await self._socket.close()

    async def _wait_until_quiet(self, reader: asyncio.Task[None]) -> None:
        """Until 15 s have brought no new text, the connection is lost, or a minute has passed."""
        until = time.monotonic() + _LONGEST_END_S
        self._news_at = time.monotonic()
        while (left := min(self._news_at + _QUIET_S, until) - time.monotonic()) > 0 and not reader.done():
            await asyncio.wait([reader], timeout=left)

    async def _read(self) -> None:
        assert self._socket is not None
        closed = "the server closed the connection"
        try:
            async for message in self._socket:
                self._handle(json.loads(message))
        except ConnectionClosed as error:
            closed = f"the connection was lost: {error}"
        self._problem = self._problem or closed
        self._ready.set()

    def _handle(self, message: dict[str, Any]) -> None:
        if message.get("message") == "SERVER_READY":
            self._ready.set()
        elif message.get("status") in {"WAIT", "ERROR"}:
            self._problem = f"{message['status']}: {message['message']}"
            self._ready.set()
        elif segments := message.get("segments"):
            self._draw(segments)

    def _draw(self, segments: list[dict[str, Any]]) -> None:
        """Keep completed segments that begin after the last one kept; the newest may still change."""
        for segment in segments:
            if not segment.get("completed"):
                self._last = segment
            elif not self._done or float(segment["start"]) >= float(self._done[-1]["end"]):
                self._done.append(segment)
        final = " ".join(segment["text"] for segment in self._done)
        newest = self._last["text"] if self._last is not None else ""
        if newest in [segment["text"] for segment in self._done]:
            newest = ""
        before = self.screen.text
        self.screen.show(final, newest)
        if self.screen.text != before:
            self._news_at = time.monotonic()


def _options(uid: str) -> dict[str, Any]:
    """The first message, as its client fills it in, with its voice filter on (the one in faster-whisper)."""
    return {
        "uid": uid,
        "language": "en",
        "task": "transcribe",
        "model": "tiny.en",
        "use_vad": True,
        "send_last_n_segments": 10,
        "no_speech_thresh": 0.45,
        "clip_audio": False,
        "same_output_threshold": 10,
    }
