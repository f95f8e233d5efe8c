"""Our server: a gateway and speech workers; and our Python client, used like in any program."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import psutil
from talkup_client import Client
from talkup_client.errors import TalkupError
from talkup_client.events import StreamEnded, TranscriptUpdate
from talkup_client.stream import Stream

from bench.corpus import SAMPLE_RATE
from bench.harness.actions import loads
from bench.harness.stack import KEY, Stack, StackError, running_stack
from bench.peers.peer import HOST, Media, PeerError, Screen, Serving

_FORMATS = {"pcm": f"audio/pcm;rate={SAMPLE_RATE}", "webm": "audio/webm;codecs=opus"}
_ANSWER_S = 60.0


class TalkUp:
    """The processes of `make run`, with default settings; without `slots` the worker measures its own."""

    name = "talkup"
    version = "this repository"
    endings: tuple[str, ...] = ("stream_end",)
    spares = True
    streaming = True

    def __init__(self, slots: int | None = None) -> None:
        self._arguments = ("stt",) if slots is None else ("stt", "--slots", str(slots))

    @contextmanager
    def start(self, model: Path, media: Media, processes: int = 1) -> Iterator[Serving]:
        """A gateway with this many speech workers."""
        settings = {"WORKER_MODEL": str(model)}
        try:
            with running_stack(workers=processes, worker_arguments=self._arguments, worker_settings=settings) as stack:
                pids = [stack.gateway.pid, *(worker.pid for worker in stack.workers)]
                yield Serving(stack.ws_port, [psutil.Process(pid) for pid in pids], lambda: _kill_serving(stack))
        except StackError as error:
            raise PeerError(str(error)) from error

    async def open(self, port: int, media: Media) -> TalkUpSession:
        """A stream that the gateway has accepted."""
        session = TalkUpSession(port, media)
        await session.begin()
        return session


class TalkUpSession:
    """The Python client: it resumes by itself and resends what was not committed."""

    def __init__(self, port: int, media: Media) -> None:
        self.screen = Screen()
        self._port = port
        self._format = _FORMATS[media]
        self._exits = AsyncExitStack()
        self._stream: Stream | None = None
        self._reader: asyncio.Task[None] | None = None
        self._finals: list[str] = []

    async def begin(self) -> None:
        """Open a session and a stream. Raises PeerError."""
        try:
            client = await self._exits.enter_async_context(Client(f"ws://{HOST}:{self._port}/ws", key=KEY))
            self._stream = await self._exits.enter_async_context(client.stream(format=self._format, language="en"))
        except TalkupError as error:
            await self._exits.aclose()
            raise PeerError(f"{error.code}: {error.message}") from error
        self._reader = asyncio.create_task(self._read(self._stream))

    async def send(self, data: bytes) -> None:
        assert self._stream is not None
        try:
            await self._stream.send(data)
        except TalkupError as error:
            raise PeerError(f"{error.code}: {error.message}") from error

    async def end(self, ending: str) -> None:
        assert self._stream is not None
        assert self._reader is not None
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._stream.end()
                await self._reader
        except TimeoutError:
            raise PeerError("no stream_ended in time") from None
        except TalkupError as error:
            raise PeerError(f"{error.code}: {error.message}") from error

    async def close(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._exits.aclose()
        except (TalkupError, TimeoutError) as error:
            raise PeerError(str(error)) from error

    async def _read(self, stream: Stream) -> None:
        async for event in stream:
            match event:
                case TranscriptUpdate(is_final=True):
                    self._finals.append(event.text)
                    self.screen.show(" ".join(self._finals))
                case TranscriptUpdate():
                    self.screen.show(" ".join(self._finals), event.text)
                case StreamEnded():
                    return


def _kill_serving(stack: Stack) -> None:
    """Send SIGKILL to the speech worker that has the stream."""
    served = asyncio.run(loads(stack))
    stack.workers[served.index(max(served))].kill()
