"""A media file through the gateway: chunks as fast as it takes them, or as a live source would give them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from talkup_client import duration
from talkup_client.client import Client
from talkup_client.errors import TalkupError, UnsupportedFileError
from talkup_client.events import Notice, StreamEnded, TranscriptUpdate
from talkup_client.media_file import MediaFile
from talkup_client.progress import Meter
from talkup_client.stream import Stream

REALTIME_SLICE_S = 0.1


@dataclass(slots=True)
class Transcript:
    """What has come back so far: finals by rising segment id, notices, errors; `complete` once the stream ended."""

    segments: list[TranscriptUpdate] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[TalkupError] = field(default_factory=list)
    complete: bool = False


async def transcribe(
    client: Client,
    media: MediaFile,
    transcript: Transcript,
    meter: Meter,
    *,
    language: str = "auto",
    realtime: bool = False,
    stop: asyncio.Event | None = None,
) -> None:
    """Stream a file and collect its finals in `transcript`, which holds what is there also when this is cut short.

    `stop` ends the stream early: what was sent is transcribed to its last word. Raises TalkupError when the stream is
    refused or the session lost, UnsupportedFileError when a file does not tell its duration to `realtime`.
    """
    slices = paced(media, asyncio.sleep) if realtime else _chunks(media, client.chunk_bytes)
    async with client.stream(format=media.format, services=("stt",), language=language) as stream:
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(_send(stream, slices, transcript, meter, stop or asyncio.Event()))
                await _collect(stream, transcript)
                sender.cancel()
        except* TalkupError as errors:
            raise errors.exceptions[0] from None


async def _send(
    stream: Stream, slices: AsyncIterator[bytes], transcript: Transcript, meter: Meter, stop: asyncio.Event
) -> None:
    sent = 0
    async for chunk in slices:
        if stop.is_set() or stream.finished:
            break
        await stream.send(chunk)
        sent += len(chunk)
        meter.update(sent, transcript.segments[-1].end_ms if transcript.segments else 0)
    await stream.end()


async def _collect(stream: Stream, transcript: Transcript) -> None:
    while not transcript.complete:
        try:
            event = await anext(stream, None)
        except TalkupError as error:
            transcript.errors.append(error)
            continue
        match event:
            case None:
                return
            case TranscriptUpdate(is_final=True):
                transcript.segments.append(event)
            case Notice():
                transcript.notices.append(event)
            case StreamEnded():
                transcript.complete = True


async def _chunks(media: MediaFile, size: int) -> AsyncIterator[bytes]:
    with media.path.open("rb") as file:
        while chunk := file.read(size):
            yield chunk


async def paced(media: MediaFile, sleep: Callable[[float], Awaitable[object]]) -> AsyncIterator[bytes]:
    """A slice every 100 ms of playing time, at the file's mean rate."""
    playing_s = duration.seconds(media)
    if not playing_s:
        raise UnsupportedFileError(f"{media.path.name} does not tell its duration: it cannot be paced in real time")
    size = max(1, round(media.size_bytes * REALTIME_SLICE_S / playing_s))
    size += size % 2  # samples of two bytes stay whole
    clock = asyncio.get_running_loop().time
    begin, sent = clock(), 0
    async for chunk in _chunks(media, size):
        await sleep(max(0.0, begin + sent / media.size_bytes * playing_s - clock()))
        yield chunk
        sent += len(chunk)
