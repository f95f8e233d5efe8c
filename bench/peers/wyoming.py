"""wyoming-faster-whisper: JSON lines and payloads over TCP; one utterance per connection, one text at its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.corpus import SAMPLE_RATE
from bench.harness.stack import free_port
from bench.peers.peer import HOST, Media, PeerError, Screen, Serving
from bench.peers.process import listens, served

_ANSWER_S = 60.0
_PCM = {"rate": SAMPLE_RATE, "width": 2, "channels": 1}


class Wyoming:
    """The server with its model in a folder, its default beam of 5, and two threads."""

    name = "wyoming"
    version = "wyoming-faster-whisper 3.8.1"
    endings: tuple[str, ...] = ("audio-stop",)
    spares = False
    streaming = False

    @contextmanager
    def start(self, model: Path, media: Media, processes: int = 1) -> Iterator[Serving]:
        """Start the server; it accepts audio in one form only."""
        port = free_port()
        arguments: list[str | Path] = ["-m", "wyoming_faster_whisper", "--uri", f"tcp://{HOST}:{port}"]
        arguments += ["--model", model, "--data-dir", model.parent, "--stt-library", "faster-whisper"]
        arguments += ["--language", "en", "--local-files-only", "--cpu-threads", "2"]
        with served("wyoming", arguments, port, listens) as serving:
            yield serving

    async def open(self, port: int, media: Media) -> WyomingSession:
        """Open a connection and begin an utterance."""
        session = WyomingSession(port)
        await session.begin()
        return session


class WyomingSession:
    """An utterance. If its connection breaks, all of it is lost, and later audio starts a new utterance."""

    def __init__(self, port: int) -> None:
        self.screen = Screen()
        self._port = port
        self._writer: asyncio.StreamWriter | None = None
        self._answer: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Connect and announce the audio. Raises PeerError."""
        try:
            reader, self._writer = await asyncio.open_connection(HOST, self._port)
            self._answer = asyncio.create_task(self._read(reader))
            await self._write("transcribe", {"language": "en"})
            await self._write("audio-start", _PCM)
        except OSError as error:
            raise PeerError(str(error)) from error

    async def send(self, data: bytes) -> None:
        try:
            await self._write("audio-chunk", _PCM, data)
        except OSError:
            await self.close()
            await self.begin()

    async def end(self, ending: str) -> None:
        assert self._answer is not None
        try:
            await self._write("audio-stop", {})
            async with asyncio.timeout(_ANSWER_S):
                await self._answer
        except (OSError, TimeoutError) as error:
            raise PeerError(str(error) or "no transcript in time") from error

    async def close(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            await asyncio.gather(self._answer, return_exceptions=True)  # its error is the connection's error
        if self._writer is not None:
            self._writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                event = json.loads(line)
                data = event.get("data") or {}
                if size := event.get("data_length"):
                    data |= json.loads(await reader.readexactly(size))
                if size := event.get("payload_length"):
                    await reader.readexactly(size)
                if event["type"] == "transcript":
                    self.screen.show(data["text"])
                    return
        except OSError as error:
            raise PeerError(str(error)) from error
        raise PeerError("the server closed the connection without a transcript")

    async def _write(self, kind: str, data: dict[str, Any], payload: bytes = b"") -> None:
        assert self._writer is not None
        header: dict[str, Any] = {"type": kind, "version": "1.10.2", "data": data}
        if payload:
            header["payload_length"] = len(payload)
        self._writer.write(json.dumps(header).encode() + b"\n" + payload)
        await self._writer.drain()
