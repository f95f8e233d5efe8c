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
from itertools import count, islice, takewhile
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
_INPUTS_A_SOCKET = 100
"""A session has at most 1,000 streams, so each socket sends a part of the inputs."""

_STORMS = (
    ("audio/mpeg", b"", b"\xff\xfb\x90\x00"),
    ("audio/aac", b"", b"\xff\xf1\x50\x80\x20\x1f\xfc"),
    # After a sound header: without one, the gateway drops what follows.
    ("audio/ogg", (OWN_CLIPS / "interview.ogg").read_bytes()[: 4 << 10], b"OggS\1"),
)
_STORM_BYTES = 1 << 20
_NO_ANSWER = "no answer"


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
    """Sends mutated recordings, one stream each, over one socket after another; counts how the streams end."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self.busy = 0
        self._stack = stack
        self._rng = Random(seed)
        self._recordings = list(recordings())

    async def send(self, inputs: Iterator[int]) -> None:
        """Send inputs until there are no more."""
        headers = {"Authorization": f"Bearer {KEY}"}
        sent = _INPUTS_A_SOCKET
        while sent == _INPUTS_A_SOCKET:
            sent = 0
            async with connect(
                self._stack.ws_url, additional_headers=headers, max_size=None, ping_interval=None
            ) as socket:
                for number in islice(inputs, _INPUTS_A_SOCKET):
                    self.outcomes[await self._outcome(socket, number)] += 1
                    sent += 1

    async def _outcome(self, socket: ClientConnection, number: int) -> str:
        """How the stream of an input ends. One that finds no slot begins again, under another name."""
        mime, data = self._input(number)
        for attempt in count():
            try:
                async with asyncio.timeout(_ANSWER_S):
                    outcome = await self._one(socket, f"m-{number}-{attempt}", mime, data)
            except TimeoutError:
                return _NO_ANSWER
            if outcome != "busy":
                return outcome
            self.busy += 1
            await asyncio.sleep(_CHUNK_S)
        raise AssertionError("an endless loop has ended")

    async def _one(self, socket: ClientConnection, stream_id: str, mime: str, data: bytes) -> str:
        start = {"stream_id": stream_id, "format": mime, "services": ["stt"]}
        await socket.send(json.dumps({"type": "stream_start", "data": start}))
        cut = self._rng.randint(1, len(data)) if data else 0
        for sequence, part in enumerate((data[:cut], data[cut:])):
            chunk = {"stream_id": stream_id, "sequence": sequence, "payload": base64.b64encode(part).decode()}
            await socket.send(json.dumps({"type": "stream_chunk", "data": chunk}))
        await socket.send(json.dumps({"type": "stream_end", "data": {"stream_id": stream_id}}))
        return await _end_of(socket, stream_id)

    def _input(self, number: int) -> tuple[str, bytes]:
        """Every 200th is a storm of headers, the others are mutated recordings."""
        if number % 200 == 0:
            mime, head, pattern = self._rng.choice(_STORMS)
            return mime, head + pattern * (_STORM_BYTES // len(pattern))
        mime, data = self._rng.choice(self._recordings)
        return mime, mutated(data, [other for _, other in self._recordings], self._rng)


async def _end_of(socket: ClientConnection, stream_id: str) -> str:
    """How a stream ended: `ended`, `dropped` if nothing of it reached the worker, or the code of its error."""
    while True:
        message = json.loads(await socket.recv())
        told = message.get("data") or {}
        if told.get("stream_id") != stream_id:
            continue
        if message["type"] == "stream_ended":
            return "dropped" if 0 < told["chunks"] == told["orphan_chunks"] else "ended"
        if message["type"] == "error" and (told.get("fatal") or told.get("code") in _ENDING):
            return str(told["code"])


_ENDING = (
    *("media_error", "unsupported_format", "busy", "bad_message", "no_worker", "too_many_streams"),
    *("rate_limited", "deadline_exceeded", "internal"),
)


def recordings() -> Iterator[tuple[str, bytes]]:
    """The seeds: a small recording in every container, and the speech of the test suite."""
    for clip in audio_clips():
        if clip.format.mime_type != "audio/pcm":
            yield clip.format.mime_type, b"".join(clip.chunks) * 3
    yield "audio/ogg", (OWN_CLIPS / "interview.ogg").read_bytes()[: 8 << 10]


def _until(end: float, inputs: int) -> Iterator[int]:
    """The numbers of the inputs, as long as there is time."""
    return takewhile(lambda _: time.monotonic() < end, range(inputs))


async def attack(
    stack: Stack, inputs: int, attackers: int, *, seconds: float | None = None, limit_s: float = float("inf")
) -> Figures:
    """Read a clip (or its first `seconds`) in peace, then beside `inputs` mutated inputs, then in peace again.

    After `limit_s` seconds no further inputs are sent.
    """
    [clip, *_] = load(OWN_CLIPS, "speech", "en")
    if seconds is not None:
        clip = replace(clip, audio=clip.audio[: int(seconds * SAMPLE_RATE)])
    calm = Honest(stack, clip)
    await calm.read()
    began = time.monotonic()
    beside, numbers = Honest(stack, clip), _until(began + limit_s, inputs)
    attacking = [Attacker(stack, seed) for seed in range(attackers)]
    async with Memory(stack.gateway) as gateway, Memory(stack.workers[0]) as worker, asyncio.TaskGroup() as group:
        tasks = [group.create_task(attacker.send(numbers)) for attacker in attacking]
        while not beside.texts or not all(task.done() for task in tasks):
            await beside.read()
        await asyncio.gather(*tasks)
    took_s = time.monotonic() - began
    await calm.read()
    for program in (stack.gateway, *stack.workers):
        program.check_alive()
    outcomes = sum((attacker.outcomes for attacker in attacking), Counter[str]())
    p95_calm, p95 = percentile(calm.latencies, 0.95), percentile(beside.latencies, 0.95)
    return {
        "inputs": outcomes.total(),
        "inputs_asked_for": inputs,
        "inputs_without_an_answer": outcomes[_NO_ANSWER],
        "inputs_per_s": rounded(outcomes.total() / took_s),
        "busy_and_sent_again": sum(attacker.busy for attacker in attacking),
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
        return await attack(stack, arguments.hostile_inputs, attackers=6, limit_s=arguments.hostile_seconds)
