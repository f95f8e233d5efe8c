"""LiveKit's OpenAI plugin without a room: URL, key, file of raw samples (24 kHz). Prints the final of its session.

The plugin commits where its voice detector hears speech end; the one here hears it at the end of the file.
"""

import asyncio
import json
import sys
from pathlib import Path

from livekit import rtc
from livekit.agents import stt, utils, vad
from livekit.plugins import openai


class Detector(vad.VAD):
    """Hears one speech, from the first frame to the end of the input."""

    def __init__(self):
        super().__init__(capabilities=vad.VADCapabilities(update_interval=1))

    def stream(self):
        return DetectorStream(self)


class DetectorStream(vad.VADStream):
    async def _main_task(self):
        is_first = True
        async for _ in self._input_ch:
            if is_first:
                self._event_ch.send_nowait(vad.VADEvent(vad.VADEventType.START_OF_SPEECH, 0, 0.0, 0.0, 0.0))
            is_first = False
        self._event_ch.send_nowait(vad.VADEvent(vad.VADEventType.END_OF_SPEECH, 0, 0.0, 0.0, 0.0))


async def main(url, key, path):
    async with utils.http_context.open():
        service = openai.STT(api_key=key, base_url=f"{url}/v1", model="gpt-realtime-whisper", vad=Detector())
        stream = service.stream()
        media = Path(path).read_bytes()
        for at in range(0, len(media), 4800):
            part = media[at : at + 4800]
            stream.push_frame(rtc.AudioFrame(part, 24000, 1, len(part) // 2))
        stream.end_input()
        async with asyncio.timeout(40):
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    print(json.dumps(event.alternatives[0].text), flush=True)
                    break
        await stream.aclose()
        await service.aclose()


asyncio.run(main(*sys.argv[1:]))
