"""WhisperLiveKit: a WebSocket that receives the whole text with every update; an empty message ends the audio."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.corpus import OWN_CLIPS
from bench.harness.stack import free_port
from bench.peers.peer import HOST, Media, PeerError, Screen, Serving
from bench.peers.process import answers, environment, served

_ANSWER_S = 60.0
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_JITTER_S = 0.25
"""How long its web page waits before it connects again: the first time, at most, and a random rest."""


class WhisperLiveKit:
    """LocalAgreement on faster-whisper; its default, SimulStreaming, needs PyTorch weights. Its Silero VAD is on."""

    name = "whisperlivekit"
    version = "WhisperLiveKit 0.2.26"
    endings: tuple[str, ...] = ("empty message",)
    spares = False
    streaming = True

    @contextmanager
    def start(self, model: Path, media: Media, processes: int = 1) -> Iterator[Serving]:
        """The server: for PCM, or with ffmpeg for a browser's recordings."""
        port = free_port()
        arguments: list[str | Path] = ["-m", "whisperlivekit.basic_server", "--host", HOST, "--port", str(port)]
        arguments += ["--model", "tiny.en", "--model_dir", model, "--backend", "faster-whisper"]
        arguments += ["--backend-policy", "localagreement", "--lan", "en", "--log-level", "WARNING"]
        arguments += ["--warmup-file", OWN_CLIPS / "interview.ogg"]
        if media == "pcm":
            arguments.append("--pcm-input")
        else:
            _provide_ffmpeg(environment(self.name))
        with served(self.name, arguments, port, lambda port: answers(port, "/health")) as serving:
            yield serving

    async def open(self, port: int, media: Media) -> WhisperLiveKitSession:
        """A connection that the server has greeted."""
        session = WhisperLiveKitSession(port)
        await session.begin()
        return session


class WhisperLiveKitSession:
    """Its web page: it shows the last update, reconnects after a loss, and drops audio recorded meanwhile."""

    def __init__(self, port: int) -> None:
        self.screen = Screen()
        self._url = f"ws://{HOST}:{port}/asr"
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    async def begin(self) -> None:
        """Connect. Raises PeerError."""
        self._socket = await self._connected()
        self._reader = asyncio.create_task(self._read())

    async def send(self, data: bytes) -> None:
        if self._socket is None:
            return
        try:
            await self._socket.send(data)
        except ConnectionClosed:
            return

    async def end(self, ending: str) -> None:
        if self._socket is None:
            raise PeerError("ended while it tried to connect again")
        await self.send(b"")
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._over.wait()
        except TimeoutError:
            raise PeerError("no ready_to_stop in time") from None

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        if self._socket is not None:
            await self._socket.close()

    async def _connected(self) -> ClientConnection:
        try:
            return await connect(self._url, max_size=None, compression=None, close_timeout=2, ping_timeout=None)
        except (OSError, WebSocketException) as error:
            raise PeerError(str(error)) from error

    async def _read(self) -> None:
        attempt = 0
        while not self._over.is_set():
            assert self._socket is not None
            try:
                async for message in self._socket:
                    attempt = 0
                    self._handle(json.loads(message))
            except ConnectionClosed:
                pass
            self._socket = None
            if self._over.is_set():
                return
            pause = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S) + random.uniform(0, _JITTER_S)
            attempt += 1
            await asyncio.sleep(pause)
            try:
                self._socket = await self._connected()
            except PeerError:
                continue

    def _handle(self, message: dict[str, Any]) -> None:
        if message.get("type") == "ready_to_stop":
            self._over.set()
        elif "lines" in message:
            final = " ".join(line["text"] for line in message["lines"] if line.get("text"))
            self.screen.show(final, message.get("buffer_transcription") or "")


def _provide_ffmpeg(folder: Path) -> None:
    """A packaged ffmpeg under the name that the server looks for, if the machine has none."""
    if shutil.which("ffmpeg") is None:
        [program] = folder.glob("lib/python*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*")
        link = folder / "bin" / "ffmpeg"
        if not link.exists():
            link.symlink_to(program)
