"""Hostile media: mutated recordings and storms of headers, made from a seed, each a stream of its own."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from random import Random
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.corpus import OWN_CLIPS
from bench.fuzz.mutation import mutated
from bench.harness.stack import KEY
from workers.media.isolation.warmup import audio_clips

NO_ANSWER: Final = "no answer"
_ANSWER_S: Final = 120.0
_BUSY_S: Final = 0.1
_INPUTS_A_SOCKET: Final = 100
"""A session has at most 1,000 streams, so each socket sends a part of the inputs."""
_STORM_EVERY: Final = 200
_STORMS: Final = (
    ("audio/mpeg", b"", b"\xff\xfb\x90\x00"),
    ("audio/aac", b"", b"\xff\xf1\x50\x80\x20\x1f\xfc"),
    # After a sound header: without one, the gateway drops what follows.
    ("audio/ogg", (OWN_CLIPS / "interview.ogg").read_bytes()[: 4 << 10], b"OggS\1"),
)
_STORM_BYTES: Final = 1 << 20
_ENDING: Final = (
    *("media_error", "unsupported_format", "busy", "bad_message", "no_worker", "too_many_streams"),
    *("rate_limited", "deadline_exceeded", "internal"),
)


def recordings() -> Iterator[tuple[str, bytes]]:
    """The seeds: a small recording in every container, and the speech of the test suite."""
    for clip in audio_clips():
        if clip.format.mime_type != "audio/pcm":
            yield clip.format.mime_type, b"".join(clip.chunks) * 3
    yield "audio/ogg", (OWN_CLIPS / "interview.ogg").read_bytes()[: 8 << 10]


class Attackers:
    """Some clients at once, each with one stream at a time; counts how the streams end.

    `busy` counts inputs that found no slot and were sent again, `cut_off` those under way when `run` was cancelled.
    """

    def __init__(self, url: str, clients: int, seed: int = 0) -> None:
        self.outcomes: Counter[str] = Counter()
        self.busy = 0
        self.cut_off = 0
        self._url = url
        self._recordings = list(recordings())
        self._rngs = [Random(seed + number) for number in range(clients)]
        self._numbers = count()

    async def run(self, inputs: int | None = None) -> None:
        """Send so many inputs, or inputs without end; may be called again."""
        left = count() if inputs is None else iter(range(inputs))
        async with asyncio.TaskGroup() as group:
            for rng in self._rngs:
                group.create_task(self._attack(rng, left))

    async def _attack(self, rng: Random, left: Iterator[int]) -> None:
        headers = {"Authorization": f"Bearer {KEY}"}
        while True:
            async with connect(
                self._url, additional_headers=headers, max_size=None, ping_interval=None, proxy=None
            ) as socket:
                try:
                    for _ in range(_INPUTS_A_SOCKET):
                        if next(left, None) is None:
                            return
                        await self._send(socket, rng, next(self._numbers))
                except asyncio.CancelledError:
                    self.cut_off += 1
                    socket.transport.abort()
                    raise

    async def _send(self, socket: ClientConnection, rng: Random, number: int) -> None:
        """Send an input until it finds a slot, under another name each time, and count how its stream ends."""
        mime, data = self._input(rng, number)
        for attempt in count():
            try:
                async with asyncio.timeout(_ANSWER_S):
                    outcome = await _outcome(socket, f"m-{number}-{attempt}", mime, _cut(data, rng))
            except TimeoutError:
                outcome = NO_ANSWER
            if outcome != "busy":
                self.outcomes[outcome] += 1
                return
            self.busy += 1
            await asyncio.sleep(_BUSY_S)

    def _input(self, rng: Random, number: int) -> tuple[str, bytes]:
        """Every 200th is a storm of headers, the others are mutated recordings."""
        if number % _STORM_EVERY == 0:
            mime, head, pattern = rng.choice(_STORMS)
            return mime, head + pattern * (_STORM_BYTES // len(pattern))
        mime, data = rng.choice(self._recordings)
        return mime, mutated(data, [other for _, other in self._recordings], rng)


def _cut(data: bytes, rng: Random) -> tuple[bytes, bytes]:
    at = rng.randint(1, len(data)) if data else 0
    return data[:at], data[at:]


async def _outcome(socket: ClientConnection, stream_id: str, mime: str, parts: tuple[bytes, bytes]) -> str:
    start = {"stream_id": stream_id, "format": mime, "services": ["stt"]}
    await socket.send(json.dumps({"type": "stream_start", "data": start}))
    for sequence, part in enumerate(parts):
        chunk = {"stream_id": stream_id, "sequence": sequence, "payload": base64.b64encode(part).decode()}
        await socket.send(json.dumps({"type": "stream_chunk", "data": chunk}))
    await socket.send(json.dumps({"type": "stream_end", "data": {"stream_id": stream_id}}))
    with suppress(ConnectionClosed):
        return await _end_of(socket, stream_id)
    return "closed"


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
