"""Clips through a running gateway, many at a time; what comes back is kept as values."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from talkup_client import Client, Notice, StreamEnded, TalkupError, TranscriptUpdate
from talkup_client.stream import Stream

from bench.harness.stack import Stack


@dataclass(frozen=True, slots=True)
class Heard:
    """One stream's end: its final text, how much media there was, the codes of what was lost and of an error."""

    text: str
    media_seconds: float = 0.0
    notices: tuple[str, ...] = ()
    error: str | None = None


def client_of(stack: Stack) -> Client:
    """A client of the stack's gateway."""
    return Client(stack.ws_url, key=stack.key)


async def collect(stream: Stream) -> Heard:
    """Read a stream to its end."""
    finals: list[TranscriptUpdate] = []
    notices: list[str] = []
    error, seconds = None, 0.0
    while True:
        try:
            event = await anext(stream, None)
        except TalkupError as problem:
            error = problem.code
            continue
        match event:
            case None:
                break
            case TranscriptUpdate(is_final=True):
                finals.append(event)
            case Notice():
                notices.append(event.code)
            case StreamEnded():
                seconds = event.media_seconds
                assert event.text.split() == " ".join(final.text for final in finals).split()
    return Heard(" ".join(final.text.strip() for final in finals), seconds, tuple(notices), error)


async def hear(client: Client, mime: str, chunks: Iterable[bytes], language: str = "auto") -> Heard:
    """Send every chunk as fast as the gateway takes it, end the stream, read it."""
    async with client.stream(format=mime, services=["stt"], language=language, interim_results=False) as stream:
        reading = asyncio.create_task(collect(stream))
        for chunk in chunks:
            await stream.send(chunk)
        await stream.end()
        return await reading


async def hear_all(jobs: Sequence[Callable[[], Awaitable[Heard]]], at_a_time: int) -> list[Heard]:
    """Run the jobs, a few at a time; their answers in order."""
    turn = asyncio.Semaphore(at_a_time)

    async def one(job: Callable[[], Awaitable[Heard]]) -> Heard:
        async with turn:
            return await job()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(job)) for job in jobs]
    return [task.result() for task in tasks]


def web_packet(number: int, payload: bytes, mime: str) -> str:
    """A recorder's slice as the TalkUp web application sends it."""
    packet = {"type": "audio", "data": base64.b64encode(payload).decode(), "timestamp": 1739592334000 + 100 * number}
    return json.dumps({**packet, "mimeType": mime, "sequenceNumber": number})
