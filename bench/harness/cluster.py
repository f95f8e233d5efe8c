"""Gateways that can be killed and restarted on the same ports, fake workers, and a client that counts words."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from talkup_client import AnalysisResult, Client, TranscriptUpdate
from talkup_client.stream import Stream

from bench.harness.stack import HOST, KEY, Program, start, wait_until_ready

SECRET = "one secret of at least thirty-two bytes for all"
PCM = "audio/pcm;rate=16000;channels=1;encoding=s16le"


def lasting_port() -> int:
    """A port that stays free during a restart: below the range for outgoing connections (Linux: from 32768)."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) != 0:
                return port


@dataclass
class Seat:
    """The ports and settings of a gateway whose process may be killed and restarted."""

    name: str
    folder: Path
    settings: dict[str, str]
    http_port: int = field(default_factory=lasting_port)
    ws_port: int = field(default_factory=lasting_port)
    program: Program | None = None

    @property
    def ws_url(self) -> str:
        return f"ws://{HOST}:{self.ws_port}/ws"

    @property
    def http_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    def begin(self) -> None:
        ports = {"GATEWAY_HTTP_PORT": str(self.http_port), "GATEWAY_WS_PORT": str(self.ws_port)}
        self.program = start(self.name, ("-m", "gateway"), {**self.settings, **ports}, self.folder)

    def ready(self) -> None:
        assert self.program is not None
        wait_until_ready(self.program, self.http_port)

    def kill(self) -> None:
        assert self.program is not None
        self.program.signal(signal.SIGKILL)
        self.program.process.wait(10)

    def stop(self) -> None:
        if self.program is not None:
            self.program.stop()


@dataclass
class Cluster:
    """Gateways and the workers behind them."""

    seats: list[Seat]
    workers: list[Program]
    worker_ports: list[int]
    folder: Path

    def restart_worker(self, index: int) -> None:
        """Send SIGTERM, wait until the worker has drained, and restart it."""
        self.workers[index].stop()
        self.workers[index] = _worker(index, self.worker_ports[index], self.folder)

    def urls(self) -> list[str]:
        return [seat.ws_url for seat in self.seats]


def _worker(index: int, port: int, folder: Path) -> Program:
    settings = {"WORKER_PORT": str(port), "WORKER_DRAIN_SECONDS": "2"}
    return start(f"stt-{index + 1}", ("-m", "workers", "fake"), settings, folder)


@contextmanager
def cluster(folder: Path, store: str, *, gateways: int = 1, workers: int = 1) -> Iterator[Cluster]:
    """Start everything, wait until it is ready, and stop it at the end of the block."""
    with ExitStack() as exits:
        ports = [lasting_port() for _ in range(workers)]
        programs = [_worker(index, port, folder) for index, port in enumerate(ports)]
        settings = {
            "GATEWAY_API_KEYS": KEY,
            "GATEWAY_TOKEN_SECRET": SECRET,
            "GATEWAY_STORE": store,
            "GATEWAY_STORE_LEASE_S": "2",
            "GATEWAY_DRAIN_S": "3",
            "GATEWAY_STT_WORKERS": ",".join(f"{HOST}:{port}" for port in ports),
        }
        found = Cluster([Seat(f"gateway-{n}", folder, settings) for n in range(gateways)], programs, ports, folder)
        exits.callback(lambda: [program.stop() for program in found.workers])
        for seat in found.seats:
            seat.begin()
            exits.callback(seat.stop)
        for seat in found.seats:
            seat.ready()
        yield found


class Speaker:
    """A stream that sends chunks step by step, and the final words and analyses received, including repetitions."""

    def __init__(self, stream: Stream, media: bytes, chunk_bytes: int) -> None:
        self.media = media
        self.words: list[str] = []
        self.analyses: list[AnalysisResult] = []
        self._stream = stream
        self._chunks = [media[at : at + chunk_bytes] for at in range(0, len(media), chunk_bytes)]
        self._sent = 0
        self._heard = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @property
    def chunks(self) -> int:
        return len(self._chunks)

    async def say(self, count: int | None = None) -> None:
        """Send the next `count` chunks, or all that are left."""
        until = self.chunks if count is None else self._sent + count
        for chunk in self._chunks[self._sent : until]:
            await self._stream.send(chunk)
        self._sent = until

    async def hear(self, words: int) -> None:
        """Wait for this many final words."""
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.words) >= words or self._reader.done())
        assert len(self.words) >= words

    async def finish(self) -> list[str]:
        """Send the rest, end, and wait for the last word."""
        await self.say()
        await self._stream.end()
        await self._reader
        return self.words

    async def _read(self) -> None:
        try:
            async for event in self._stream:
                if isinstance(event, TranscriptUpdate) and event.is_final:
                    async with self._heard:
                        self.words += event.text.split()
                        self._heard.notify_all()
                elif isinstance(event, AnalysisResult):
                    self.analyses.append(event)
        finally:
            async with self._heard:
                self._heard.notify_all()

    async def stop(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader


@contextlib.asynccontextmanager
async def speaking(
    urls: list[str], media: bytes, chunk_bytes: int = 700, **options: Any
) -> AsyncIterator[tuple[Client, Speaker]]:
    """A client of these gateways, connected to the first, and its stream; `options` are those of `Client.stream`."""
    async with Client(urls, key=KEY) as client, client.stream(format=PCM, **options) as stream:
        speaker = Speaker(stream, media, chunk_bytes)
        try:
            yield client, speaker
        finally:
            await speaker.stop()
