"""LiveKit's Deepgram plugin without a room: URL, key, file of raw samples (16 kHz). Prints its finals."""

import asyncio
import json
import sys
from pathlib import Path

import aiohttp
from livekit import rtc
from livekit.agents import stt
from livekit.plugins import deepgram


async def main(url, key, path):
    async with aiohttp.ClientSession() as http:
        service = deepgram.STT(api_key=key, base_url=f"{url}/v1/listen", http_session=http, sample_rate=16000)
        stream = service.stream()

        async def feed():
            media = Path(path).read_bytes()
            for at in range(0, len(media), 3200):
                part = media[at : at + 3200]
                stream.push_frame(rtc.AudioFrame(part, 16000, 1, len(part) // 2))
                await asyncio.sleep(0)
            stream.end_input()

        feeding = asyncio.create_task(feed())
        async for event in stream:
            if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                print(json.dumps(event.alternatives[0].text), flush=True)
        await feeding


asyncio.run(main(*sys.argv[1:]))
