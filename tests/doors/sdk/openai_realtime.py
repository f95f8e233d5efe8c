"""A transcription session with OpenAI's SDK: URL, key, file of raw samples, the session's options as JSON.

Sends the file in two halves, each with a commit, and prints the events as the SDK parses them.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

from openai import AsyncOpenAI

url, key, path, session = sys.argv[1:]


async def main():
    maker = AsyncOpenAI(base_url=f"{url}/v1", api_key=key)
    secret = await maker.realtime.client_secrets.create(session={"type": "transcription"})
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=secret.value)
    media, left = Path(path).read_bytes(), 2
    half = len(media) // 2 // 2 * 2
    async with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
        await connection.session.update(session=json.loads(session))
        for part in (media[:half], media[half:]):
            for at in range(0, len(part), 4800):
                await connection.input_audio_buffer.append(audio=base64.b64encode(part[at : at + 4800]).decode())
            await connection.input_audio_buffer.commit()
        async for event in connection:
            print(json.dumps([type(event).__name__, json.loads(event.to_json())]), flush=True)
            left -= event.type == "conversation.item.input_audio_transcription.completed"
            if not left:
                break


asyncio.run(main())
