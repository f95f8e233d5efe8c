"""Sends media to the gateway and collects the results: finals, losses, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field

from talkup_client.client import Client
from talkup_client.errors import NoMediaError, TalkupError
from talkup_client.events import Notice, SpeechEvent, StreamEnded, StreamEvent, TranscriptUpdate
from talkup_client.integrity import damage
from talkup_client.losses import losses, shortfall
from talkup_client.media_file import MediaFile
from talkup_client.messages import Mode
from talkup_client.sources import chunks, paced, until
from talkup_client.stream import Stream
from talkup_client.terminal import Meter

SCRIPTED_MODEL = "fake"

Watch = Callable[[StreamEvent], None]


@dataclass(frozen=True, slots=True)
class Speech:
    """How speech is to be transcribed. `language`: a tag, `auto`, or several tags with commas: those to expect.

    `services`: what else is wanted of the same sound, such as delivery for a report.
    """

    language: str = "auto"
    mode: Mode = "live"
    services: Sequence[str] = ("stt",)

    @property
    def expected(self) -> tuple[str, ...]:
        """The languages to expect, if several are named."""
        return tuple(filter(None, map(str.strip, self.language.split(",")))) if "," in self.language else ()


@dataclass(slots=True)
class Transcript:
    """What has arrived so far: finals by segment id, notices, errors; `ended` once the stream has ended.

    `losses` are lines for the user about media that was lost.
    """

    segments: list[TranscriptUpdate] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    errors: list[TalkupError] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    ended: StreamEnded | None = None

    @property
    def complete(self) -> bool:
        """Whether the last word has arrived."""
        return self.ended is not None

    @property
    def refused_for_now(self) -> TalkupError | None:
        """The gateway's refusal for lack of room, if there is no text."""
        return next((error for error in self.errors if error.code == "busy"), None) if not self.segments else None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a stream may end early: once `stop` is set, and `grace_s` seconds later (None: never) by discarding it."""

    stop: asyncio.Event
    grace_s: float | None = None

    async def discard(self, stream: Stream) -> None:
        """Discard a stream when its time has come."""
        await self.stop.wait()
        if self.grace_s is not None:
            await asyncio.sleep(self.grace_s)
            await stream.discard()


async def transcribe(
    client: Client,
    media: MediaFile,
    transcript: Transcript,
    meter: Meter,
    *,
    language: str = "auto",
    realtime: bool = False,
    services: Sequence[str] = ("stt",),
    stop: asyncio.Event | None = None,
    grace_s: float | None = None,
    watch: Watch | None = None,
) -> None:
    """Stream a file and collect its finals in `transcript`, which stays usable if this call is cancelled.

    It is transcribed as a recording, or, with `realtime`, as a live source. `services`: what is wanted of its sound.

    `stop` ends the stream early: after the last word of what was sent, or, with `grace_s`, after that many seconds with
    the text so far. `watch` receives every event. The client retries a busy gateway for `busy_s` seconds.

    Raises TalkupError when the stream is refused or the session is lost, UnsupportedFileError when `realtime` needs a
    duration that the file does not state, and NoMediaError when nothing in the file could be decoded.
    """
    stop = stop or asyncio.Event()

    sent = reached_ms = 0

    async def slices() -> AsyncGenerator[bytes, None]:
        nonlocal sent
        sent = 0
        async for chunk in paced(media, asyncio.sleep) if realtime else chunks(media, client.chunk_bytes):
            yield chunk
            sent += len(chunk)
            meter.update(sent, reached_ms)

    def note(event: StreamEvent) -> None:
        nonlocal reached_ms
        reached_ms = max(reached_ms, _reached_ms(event))
        meter.update(sent, reached_ms)
        if watch is not None:
            watch(event)

    ending = Ending(stop, grace_s)
    speech = Speech(language, "live" if realtime else "file", services)
    await caption(client, media.format, slices, transcript, speech=speech, ending=ending, watch=note)
    if stop.is_set() or transcript.errors:
        return
    if transcript.ended is not None and transcript.ended.totals.get("damaged_bytes"):
        return
    if broken := await asyncio.to_thread(damage, media):
        transcript.losses.append(broken)
    elif (short := shortfall(media, transcript.ended)) and not await _is_scripted(client):
        transcript.losses.append(short)


async def caption(
    client: Client,
    format_: str,
    slices: Callable[[], AsyncGenerator[bytes, None]],
    transcript: Transcript,
    *,
    speech: Speech,
    ending: Ending,
    watch: Watch | None = None,
) -> None:
    """Send what `slices` yields until it ends or is to end early, and collect the results in `transcript`.

    Each retry of a busy gateway calls `slices` again. `watch` receives every event. Raises as `transcribe` does.
    """
    patience, expected = client.patience(), speech.expected
    while True:
        start = client.stream(
            format=format_,
            services=speech.services,
            language="auto" if expected else speech.language,
            languages=expected,
            mode=speech.mode,
            patience=patience,
        )
        async with start as stream:
            await _run_stream(stream, slices(), transcript, ending, watch)
        if (busy := transcript.refused_for_now) is None or ending.stop.is_set():
            break
        await patience.wait(busy)
        transcript.errors.clear()
        transcript.notices.clear()
        transcript.ended = None
    transcript.losses = losses(transcript.notices, transcript.ended)
    if stream.decoded_nothing and not transcript.errors and not ending.stop.is_set():
        raise NoMediaError("nothing in it could be decoded: it is damaged from the start, or it is not a recording")


async def _is_scripted(client: Client) -> bool:
    """Whether the scripted engine answers (ENGINE=fake): it decodes nothing, so its times say nothing of the file."""
    services = (await client.status()).data.get("services") or ()
    return any(SCRIPTED_MODEL in service.get("models", ()) for service in services)


async def _run_stream(
    stream: Stream,
    slices: AsyncGenerator[bytes, None],
    transcript: Transcript,
    ending: Ending,
    watch: Watch | None,
) -> None:
    """Run one stream to its end."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_send(stream, slices, ending.stop)), group.create_task(ending.discard(stream))]
            await _collect(stream, transcript, watch)
            for task in tasks:
                task.cancel()
    except* (TalkupError, OSError) as errors:
        raise errors.exceptions[0] from None


def _reached_ms(event: StreamEvent) -> int:
    """How far on the media clock an event shows the gateway to be."""
    match event:
        case TranscriptUpdate(end_ms=end_ms):
            return end_ms
        case SpeechEvent(media_time_ms=media_time_ms):
            return media_time_ms
        case StreamEnded(media_seconds=seconds):
            return round(seconds * 1000)
    return 0


async def _send(stream: Stream, slices: AsyncGenerator[bytes, None], stop: asyncio.Event) -> None:
    async for chunk in until(stop, slices):
        if stream.finished:
            break
        await stream.send(chunk)
    await stream.end()


async def _collect(stream: Stream, transcript: Transcript, watch: Watch | None) -> None:
    while not transcript.complete:
        try:
            event = await anext(stream, None)
        except TalkupError as error:
            transcript.errors.append(error)
            continue
        if event is None:
            return
        if watch is not None:
            watch(event)
        match event:
            case TranscriptUpdate(is_final=True):
                transcript.segments.append(event)
            case Notice():
                transcript.notices.append(event)
            case StreamEnded():
                transcript.ended = event
