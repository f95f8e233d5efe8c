"""Other dialects at the gateway: words while workers are killed, and a chunk's CPU compared with our own protocol."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import random
import statistics
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import grpc.aio
import psutil
from websockets.asyncio.client import connect

from bench.gateway.door_uploads import uploads
from bench.gateway.figures import Figures, rounded
from bench.harness.actions import describe, metric, settled_loads
from bench.harness.dialects import FRAME, SPEAKERS, DialectSpeaker, Exchange, read_wyoming, wyoming_event
from bench.harness.stack import KEY, Stack, running_stack

_POLL_S = 0.05
_PATIENCE_S = 45.0
_STREAMS = 20
_RATE = 50
_CHUNK_BYTES = 640
_DELIVERED = 0.97
"""Share of the chunks that must have reached the worker, or a row says nothing."""

_FAILOVERS = "gateway_failovers_total"


async def doors(arguments: argparse.Namespace) -> Figures:
    """n. Every dialect while workers are killed, and what a chunk costs compared with our own protocol."""
    figures: Figures = {}
    for name in SPEAKERS if arguments.door_kills else ():
        with running_stack(workers=2) as stack:
            figures[name] = await kills(stack, [name] * 2, arguments.door_kills, seed=len(figures))
    with running_stack() as stack:
        figures["calls"] = await calls(stack, arguments.door_calls, arguments.door_seconds)
        figures["cpu"] = await overhead(stack, arguments.door_seconds, arguments.door_rounds)
    figures["uploads"] = await uploads(arguments.door_rounds)
    return figures


async def kills(stack: Stack, names: Sequence[str], rounds: int, *, seed: int) -> Figures:
    """Speak in these dialects at once, and kill the worker with the most streams, `rounds` times."""
    speakers: list[DialectSpeaker] = [SPEAKERS[name](seed * 100 + number) for number, name in enumerate(names)]
    streams = sum(speaker.streams for speaker in speakers)
    rng = random.Random(seed)
    async with asyncio.timeout(_PATIENCE_S * (1 + rounds)), asyncio.TaskGroup() as group:
        tasks = [group.create_task(speaker.speak(stack)) for speaker in speakers]
        for _ in range(rounds):
            served = await settled_loads(stack, streams)
            await asyncio.sleep(rng.uniform(0.1, 0.6))
            victim = served.index(max(served))
            moved = await metric(stack, _FAILOVERS) + served[victim]
            stack.workers[victim].kill()
            while await metric(stack, _FAILOVERS) < moved:
                await asyncio.sleep(_POLL_S)
            stack.restart_worker(victim)
            await _until_serving(stack, victim)
        for speaker in speakers:
            speaker.enough.set()
    heard: list[Exchange] = [task.result() for task in tasks]
    losses = [exchange.losses() for exchange in heard]
    return {
        "kills": rounds,
        "failovers": int(await metric(stack, _FAILOVERS)),
        "streams": streams,
        "words": sum(len(words) for exchange in heard for words in exchange.words.values()),
        "words_lost": sum(lost for lost, _ in losses),
        "words_doubled": sum(doubled for _, doubled in losses),
        "close_codes": sorted({each.close_code for each in heard if each.close_code is not None}),
    }


async def calls(stack: Stack, count: int, seconds: float) -> Figures:
    """Calls of Twilio with both tracks in real time, 50 messages a second and track, all at once."""
    speakers: list[DialectSpeaker] = [SPEAKERS["twilio"](1000 + number) for number in range(count)]
    async with asyncio.timeout(_PATIENCE_S + seconds), asyncio.TaskGroup() as group:
        tasks = [group.create_task(speaker.speak(stack)) for speaker in speakers]
        await asyncio.sleep(seconds)
        for speaker in speakers:
            speaker.enough.set()
    losses = [task.result().losses() for task in tasks]
    return {
        "calls": count,
        "seconds": seconds,
        "messages": sum(len(sent) // FRAME for task in tasks for sent in task.result().sent.values()),
        "words_lost": sum(lost for lost, _ in losses),
        "words_doubled": sum(doubled for _, doubled in losses),
        "close_codes": sorted({task.result().close_code or 0 for task in tasks}),
        "errors": await metric(stack, "gateway_errors_total"),
    }


async def _until_serving(stack: Stack, index: int) -> None:
    """Wait until a worker answers, and until the gateway counts it among those that serve."""
    while True:
        stack.workers[index].check_alive()
        try:
            await describe(stack.worker_ports[index])
            break
        except grpc.aio.AioRpcError:
            await asyncio.sleep(_POLL_S)

    def serving() -> int:
        with urllib.request.urlopen(f"{stack.http_url}/readyz", timeout=10) as answer:
            return int(json.load(answer)["services"]["stt"]["serving"])

    while await asyncio.to_thread(serving) < len(stack.workers):
        await asyncio.sleep(_POLL_S)


async def overhead(stack: Stack, seconds: float, rounds: int) -> Figures:
    """CPU of the gateway per chunk: our own binary form, then the sockets of each dialect, in turns."""
    found: dict[str, list[float]] = {name: [] for name in _DIALECTS}
    for number in range(rounds):
        names = list(found) if number % 2 == 0 else list(reversed(found))
        for name in names:
            found[name].append(await _cpu_per_chunk(stack, name, seconds))
    medians = {name: statistics.median(values) for name, values in found.items()}
    references = {name: dialect.reference for name, dialect in _DIALECTS.items() if dialect.reference}
    return {
        "us_per_chunk": {name: rounded(value) for name, value in medians.items()},
        "ratios": {name: rounded(medians[name] / medians[own]) for name, own in references.items()},
        "chunk_bytes": _CHUNK_BYTES,
        "streams": _STREAMS,
        "chunks_per_second": _STREAMS * _RATE,
    }


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a client of a dialect opens its stream and writes a chunk; `number` rises by one. No path: Wyoming's port.

    `reference`: the form of our own protocol that gives its client the same text.
    """

    path: str
    scheme: str = "Bearer"
    opening: str | bytes = ""
    reference: str = "own"
    chunk: Callable[[bytes, int], str | bytes] = lambda payload, _number: payload


def _twilio_chunk(payload: bytes, number: int) -> str:
    media = {"track": "inbound", "chunk": str(number), "timestamp": "5", "payload": base64.b64encode(payload).decode()}
    return json.dumps({"event": "media", "sequenceNumber": str(number + 2), "media": media, "streamSid": "MZ"})


def _realtime_chunk(payload: bytes, _number: int) -> str:
    return json.dumps({"type": "input_audio_buffer.append", "audio": base64.b64encode(payload).decode()})


_START = {"format": "audio/pcm;rate=16000", "services": ["stt"], "interim_results": False}
_SOUND = {"rate": 16_000, "width": 2, "channels": 1}
_CALL = {"streamSid": "MZ", "tracks": ["inbound"]}
_DIALECTS = {
    "own": _Dialect("/ws", opening=json.dumps({"type": "stream_start", "data": _START}), reference=""),
    "own-interims": _Dialect(
        "/ws", opening=json.dumps({"type": "stream_start", "data": {**_START, "interim_results": True}}), reference=""
    ),
    "deepgram": _Dialect("/v1/listen?encoding=linear16&sample_rate=16000", "Token"),
    "openai-realtime": _Dialect("/v1/realtime?intent=transcription", reference="own-interims", chunk=_realtime_chunk),
    "telephony": _Dialect("/v1/telephony?format=audio/l16;rate=16000"),
    "twilio": _Dialect(
        "/v1/twilio",
        opening=json.dumps({"event": "start", "sequenceNumber": "1", "start": _CALL}),
        chunk=_twilio_chunk,
    ),
    "wyoming": _Dialect(
        "",
        opening=wyoming_event("audio-start", _SOUND),
        chunk=lambda payload, _number: wyoming_event("audio-chunk", _SOUND, payload),
    ),
}


async def _cpu_per_chunk(stack: Stack, name: str, seconds: float) -> float:
    """Microseconds of CPU of the gateway's process per chunk, of some streams in real time."""
    process, dialect = psutil.Process(stack.gateway.pid), _DIALECTS[name]
    async with AsyncExitStack() as exits:
        sockets = [await exits.enter_async_context(_open(stack, dialect)) for _ in range(_STREAMS)]
        readers = [asyncio.create_task(_drain(socket)) for socket in sockets]
        if dialect.opening:
            for socket in sockets:
                await socket.send(dialect.opening)
        await asyncio.sleep(0.5)
        forwarded = await metric(stack, "gateway_chunks_total")
        before, turns = process.cpu_times(), int(seconds * _RATE)
        began = time.monotonic()
        for turn in range(turns):
            chunk = dialect.chunk(bytes(_CHUNK_BYTES), turn)
            for socket in sockets:
                await socket.send(chunk)
            await asyncio.sleep(max(0.0, began + (turn + 1) / _RATE - time.monotonic()))
        after = process.cpu_times()
        forwarded = await metric(stack, "gateway_chunks_total") - forwarded
        assert forwarded >= _DELIVERED * turns * _STREAMS, f"{name}: only {forwarded:.0f} chunks reached the worker"
        for reader in readers:
            reader.cancel()
    used = after.user + after.system - before.user - before.system
    return 1e6 * used / (turns * _STREAMS)


class _Line(Protocol):
    """A client's connection."""

    async def send(self, message: str | bytes) -> None: ...

    def __aiter__(self) -> AsyncIterator[object]: ...


class _WyomingLine:
    """A connection to Wyoming's port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        self._writer.write(message)
        await self._writer.drain()

    async def __aiter__(self) -> AsyncIterator[object]:
        while (event := await read_wyoming(self._reader)) is not None:
            yield event


@asynccontextmanager
async def _open(stack: Stack, dialect: _Dialect) -> AsyncIterator[_Line]:
    if not dialect.path:
        reader, writer = await asyncio.open_connection("127.0.0.1", stack.wyoming_port)
        yield _WyomingLine(reader, writer)
        writer.close()
        return
    base = stack.ws_url.removesuffix("/ws") if dialect.path == "/ws" else stack.http_url.replace("http", "ws")
    headers = {"Authorization": f"{dialect.scheme} {KEY}"}
    url = base + dialect.path
    async with connect(url, additional_headers=headers, proxy=None, compression=None) as socket:
        yield socket


async def _drain(socket: _Line) -> None:
    async for _ in socket:
        pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--door-kills", type=int, default=20)
    parser.add_argument("--door-calls", type=int, default=20, help="calls of Twilio at once")
    parser.add_argument("--door-seconds", type=float, default=5.0, help="time of the calls, and of a measured row")
    parser.add_argument("--door-rounds", type=int, default=4)
