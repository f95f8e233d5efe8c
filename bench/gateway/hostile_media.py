"""Mutated media at a running gateway with a real speech worker, beside one honest stream in real time."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np
from talkup_client import Client
from talkup_client.events import StreamEnded, TranscriptUpdate
from websockets.asyncio.client import ClientConnection, connect

from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip, load
from bench.fuzz.mutation import mutated
from bench.gateway.figures import Figures, Memory, rounded
from bench.harness.actions import percentile
from bench.harness.stack import KEY, Stack, running_stack
from bench.scoring import word_errors
from workers.media.isolation.warmup import audio_clips

_CHUNK_S = 0.1
_ANSWER_S = 120.0
_STORMS = (
    ("audio/mpeg", b"\xff\xfb\x90\x00"),
    ("audio/aac", b"\xff\xf1\x50\x80\x20\x1f\xfc"),
    ("audio/ogg", b"OggS\1"),
)
_STORM_BYTES = 1 << 20


@dataclass
class Honest:
    """One speaker, who reads a recording again and again until `enough`."""

    stack: Stack
    clip: Clip
    texts: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

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
            for number, at in enumerate(range(0, len(audio), size)):
                await stream.send(audio[at : at + size])
                await asyncio.sleep(max(0.0, began + (number + 1) * _CHUNK_S - time.monotonic()))
            await stream.end()
            self.texts.append(await listener)

    async def _listen(self, stream: Any, began: float) -> str:
        text = ""
        async for event in stream:
            match event:
                case TranscriptUpdate(is_final=True):
                    self.latencies.append(time.monotonic() - began - event.end_ms / 1000)
                case StreamEnded():
                    text = event.text
        return text


class Attacker:
    """Sends mutated recordings, one stream each, over one socket; counts how the streams end."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._stack = stack
        self._rng = Random(seed)
        self._recordings = list(recordings())

    async def send(self, inputs: Iterator[int]) -> None:
        """Send inputs until there are no more."""
        headers = {"Authorization": f"Bearer {KEY}"}
        async with connect(self._stack.ws_url, additional_headers=headers, max_size=None, ping_interval=None) as socket:
            for number in inputs:
                self.outcomes[await self._one(socket, f"m-{number}", number)] += 1

    async def _one(self, socket: ClientConnection, stream_id: str, number: int) -> str:
        mime, data = self._input(number)
        start = {"stream_id": stream_id, "format": mime, "services": ["stt"]}
        await socket.send(json.dumps({"type": "stream_start", "data": start}))
        cut = self._rng.randint(1, len(data)) if data else 0
        for sequence, part in enumerate((data[:cut], data[cut:])):
            chunk = {"stream_id": stream_id, "sequence": sequence, "payload": base64.b64encode(part).decode()}
            await socket.send(json.dumps({"type": "stream_chunk", "data": chunk}))
        await socket.send(json.dumps({"type": "stream_end", "data": {"stream_id": stream_id}}))
        async with asyncio.timeout(_ANSWER_S):
            return await _end_of(socket, stream_id)

    def _input(self, number: int) -> tuple[str, bytes]:
        """Every 200th is a storm of headers, the others are mutated recordings."""
        if number % 200 == 0:
            mime, pattern = self._rng.choice(_STORMS)
            return mime, pattern * (_STORM_BYTES // len(pattern))
        mime, data = self._rng.choice(self._recordings)
        return mime, mutated(data, [other for _, other in self._recordings], self._rng)


async def _end_of(socket: ClientConnection, stream_id: str) -> str:
    """How a stream ended: `ended`, or the code of the error that ended it."""
    while True:
        message = json.loads(await socket.recv())
        told = message.get("data") or {}
        if told.get("stream_id") != stream_id:
            continue
        if message["type"] == "stream_ended":
            return "ended"
        if message["type"] == "error" and (told.get("fatal") or told.get("code") in _ENDING):
            return str(told["code"])


_ENDING = ("media_error", "unsupported_format", "busy", "bad_message", "no_worker")


def recordings() -> Iterator[tuple[str, bytes]]:
    """The seeds: a small recording in every container, and the speech of the test suite."""
    for clip in audio_clips():
        if clip.format.mime_type != "audio/pcm":
            yield clip.format.mime_type, b"".join(clip.chunks) * 3
    yield "audio/ogg", (OWN_CLIPS / "interview.ogg").read_bytes()[: 8 << 10]


async def attack(stack: Stack, inputs: int, attackers: int, seconds: float | None = None) -> Figures:
    """Read a clip (or its first `seconds`) in peace, then beside `inputs` mutated inputs, then in peace again."""
    [clip, *_] = load(OWN_CLIPS, "speech", "en")
    if seconds is not None:
        clip = replace(clip, audio=clip.audio[: int(seconds * SAMPLE_RATE)])
    calm = Honest(stack, clip)
    await calm.read()
    beside, numbers = Honest(stack, clip), iter(range(inputs))
    attacking = [Attacker(stack, seed) for seed in range(attackers)]
    async with Memory(stack.gateway) as gateway, Memory(stack.workers[0]) as worker, asyncio.TaskGroup() as group:
        tasks = [group.create_task(attacker.send(numbers)) for attacker in attacking]
        while not beside.texts or not all(task.done() for task in tasks):
            await beside.read()
        await asyncio.gather(*tasks)
    await calm.read()
    for program in (stack.gateway, *stack.workers):
        program.check_alive()
    outcomes = sum((attacker.outcomes for attacker in attacking), Counter[str]())
    p95_calm, p95 = percentile(calm.latencies, 0.95), percentile(beside.latencies, 0.95)
    return {
        "inputs": outcomes.total(),
        "outcomes": dict(outcomes.most_common()),
        "deaths_of_main_processes": 0,
        "decoder_children_replaced": stack.workers[0].log_text().count("decoder child replaced"),
        "gateway_growth_mib": gateway.growth_mib,
        "worker_growth_mib": worker.growth_mib,
        "honest_passes": len(beside.texts),
        "honest_words": len(calm.texts[0].split()),
        "honest_words_that_differ": max(word_errors(calm.texts[0], text, "en").errors for text in beside.texts),
        "honest_p95_s_calm": rounded(p95_calm),
        "honest_p95_s_beside": rounded(p95),
        "honest_p95_ratio": rounded(p95 / p95_calm),
    }


async def hostile_media(arguments: argparse.Namespace) -> Figures:
    """m. Mutated media and storms of headers at the gateway, with the real model, beside an honest stream."""
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "16"}
    with running_stack(worker_arguments=("stt",), worker_settings=settings) as stack:
        return await attack(stack, arguments.hostile_inputs, attackers=6)
