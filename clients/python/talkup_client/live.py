"""Live captions of a microphone."""

from __future__ import annotations

import asyncio

from talkup_client.client import Client
from talkup_client.events import StreamEvent, TranscriptUpdate
from talkup_client.microphone import Source
from talkup_client.terminal import Captions
from talkup_client.transcribe import Ending, Speech, Transcript, caption

_ANY = Speech()


async def listen(
    client: Client,
    source: Source,
    transcript: Transcript,
    captions: Captions,
    *,
    speech: Speech = _ANY,
    stop: asyncio.Event,
) -> None:
    """Stream an open source until it ends or `stop` is set, and collect its finals in `transcript`.

    Raises as `transcribe.caption` does.
    """

    def show(event: StreamEvent) -> None:
        match event:
            case TranscriptUpdate(is_final=True):
                captions.final(event.start_ms, event.text.strip())
            case TranscriptUpdate():
                captions.interim(event.text.strip())

    await caption(client, source.format, source.chunks, transcript, speech=speech, ending=Ending(stop), watch=show)
    if source.lost_ms:
        transcript.losses.append(f"{source.lost_ms / 1000:.1f} s of speech were lost while the connection was down")
