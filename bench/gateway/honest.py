"""Clients that speak in real time to a worker with the real model, and measure how late its finals are."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from talkup_client import Client
from talkup_client.events import StreamEnded, TranscriptUpdate

from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip, load
from bench.harness.stack import KEY, Stack

_CHUNK_S: Final = 0.1


@dataclass
class Honest:
    """One speaker, who reads a recording again and again."""

    stack: Stack
    clip: Clip
    texts: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    async def read_on(self) -> None:
        """Read until cancelled."""
        while True:
            await self.read()

    async def read(self) -> None:
        """One pass. Latency is from the moment at which a final's last word was sent."""
        audio = (np.clip(self.clip.audio, -1, 1) * 32767).astype("<i2").tobytes()
        size = int(_CHUNK_S * SAMPLE_RATE) * 2
        async with (
            Client(self.stack.ws_url, key=KEY) as client,
            client.stream(format=f"audio/pcm;rate={SAMPLE_RATE}", language=self.clip.language) as stream,
        ):
            began = time.monotonic()
            listener = asyncio.create_task(self._listen(stream, began))
            try:
                for number, at in enumerate(range(0, len(audio), size)):
                    await stream.send(audio[at : at + size])
                    await asyncio.sleep(max(0.0, began + (number + 1) * _CHUNK_S - time.monotonic()))
                await stream.end()
                self.texts.append(await listener)
            finally:
                listener.cancel()

    async def _listen(self, stream: Any, began: float) -> str:
        text = ""
        async for event in stream:
            match event:
                case TranscriptUpdate(is_final=True):
                    self.latencies.append(time.monotonic() - began - event.end_ms / 1000)
                case StreamEnded():
                    text = event.text
        return text


def recording(seconds: float | None = None) -> Clip:
    """The recording of the honest clients, or its first seconds."""
    [clip, *_] = load(OWN_CLIPS, "speech", "en")
    return clip if seconds is None else replace(clip, audio=clip.audio[: int(seconds * SAMPLE_RATE)])
