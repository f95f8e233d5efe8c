"""Two requests with the client of the wyoming package: URI, file of raw samples. Prints what it parses."""

import asyncio
import json
import sys
from pathlib import Path

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncClient
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong

SOUND = {"rate": 16000, "width": 2, "channels": 1}


def show(*values):
    print(json.dumps(values), flush=True)


async def request(client, media):
    await client.write_event(Transcribe(language="en", name="x", transcript_names=["TalkUp"]).event())
    await client.write_event(AudioStart(**SOUND).event())
    for at in range(0, len(media), 2048):
        await client.write_event(AudioChunk(**SOUND, audio=media[at : at + 2048]).event())
    await client.write_event(AudioStop().event())
    pieces = []
    while True:
        event = await client.read_event()
        if TranscriptStart.is_type(event.type):
            show("start", TranscriptStart.from_event(event).language)
        elif TranscriptChunk.is_type(event.type):
            pieces.append(TranscriptChunk.from_event(event).text)
        elif Transcript.is_type(event.type):
            show("chunks", "".join(pieces))
            show("transcript", Transcript.from_event(event).text)
        else:
            show("stop", TranscriptStop.is_type(event.type))
            return


async def main(uri, path):
    media = Path(path).read_bytes()
    async with AsyncClient.from_uri(uri, read_timeout=30) as client:
        await client.write_event(Describe().event())
        program = Info.from_event(await client.read_event()).asr[0]
        assert program.models
        show("info", program.name, program.supports_transcript_streaming)
        for text in ("one", "two"):
            await request(client, media)
            await client.write_event(Ping(text=text).event())
            show("pong", Pong.from_event(await client.read_event()).text)


asyncio.run(main(*sys.argv[1:]))
