"""A session with turn detection, with OpenAI's SDK: URL, key, file of raw samples (24 kHz) with silence at its end.

Prints the session's id and the transcripts of its items, once the last speech has one.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI

SILENCE_MS = 3000
url, key, path = sys.argv[1:]


async def main():
    media = Path(path).read_bytes()
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key)
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        created = await connection.recv()
        heard = {"transcription": {"model": "whisper-1", "language": "en"}}
        await connection.session.update(session={"type": "transcription", "audio": {"input": heard}})
        for at in range(0, len(media), 48_000):
            await connection.input_audio_buffer.append(audio=base64.b64encode(media[at : at + 48_000]).decode())
        print(json.dumps(created.session.id), flush=True)
        started, texts, end_ms = [], {}, 0
        async for event in connection:
            if event.type == "input_audio_buffer.speech_started":
                started.append(event.item_id)
            elif event.type == "input_audio_buffer.speech_stopped":
                end_ms = event.audio_end_ms
            elif event.type == "conversation.item.input_audio_transcription.completed":
                texts[event.item_id] = event.transcript
            elif event.type == "error":
                sys.exit(event.to_json())
            if end_ms > len(media) / 48 - SILENCE_MS - 1500 and set(texts) >= set(started):
                break
        print(json.dumps([texts[item] for item in started]), flush=True)


asyncio.run(main())
