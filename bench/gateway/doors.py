"""Other dialects at the gateway: words while workers are killed, and the CPU of a chunk beside our own protocol."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack

import grpc.aio
import psutil
from websockets.asyncio.client import ClientConnection, connect

from bench.gateway.figures import Figures, rounded
from bench.harness.actions import describe, metric, settled_loads
from bench.harness.dialects import SPEAKERS, DialectSpeaker, Told
from bench.harness.stack import KEY, Stack, running_stack

_POLL_S = 0.05
_PATIENCE_S = 45.0
_STREAMS = 20
_RATE = 50
_CHUNK_BYTES = 640
_FAILOVERS = "gateway_failovers_total"


async def doors(arguments: argparse.Namespace) -> Figures:
    """n. Every dialect while workers are killed, and what a chunk costs through Deepgram's beside our own protocol."""
    figures: Figures = {}
    for name in SPEAKERS:
        with running_stack(workers=2) as stack:
            figures[name] = await kills(stack, [name] * 2, arguments.door_kills, seed=len(figures))
    with running_stack() as stack:
        figures["cpu"] = await overhead(stack, arguments.door_seconds, arguments.door_rounds)
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
    heard: list[Told] = [task.result() for task in tasks]
    losses = [told.losses() for told in heard]
    return {
        "kills": rounds,
        "failovers": int(await metric(stack, _FAILOVERS)),
        "streams": streams,
        "words": sum(len(words) for told in heard for words in told.words.values()),
        "words_lost": sum(lost for lost, _ in losses),
        "words_doubled": sum(doubled for _, doubled in losses),
        "close_codes": sorted({told.close_code for told in heard if told.close_code is not None}),
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
    """CPU of the gateway per chunk: our own binary form, then Deepgram's socket, in turns."""
    found: dict[str, list[float]] = {"own": [], "deepgram": []}
    for number in range(rounds):
        names = list(found) if number % 2 == 0 else list(reversed(found))
        for name in names:
            found[name].append(await _cpu_per_chunk(stack, name, seconds))
    own, dialect = (statistics.median(values) for values in found.values())
    return {
        "own_us_per_chunk": rounded(own),
        "deepgram_us_per_chunk": rounded(dialect),
        "ratio": rounded(dialect / own),
        "ratios_of_rounds": [rounded(b / a) for a, b in zip(*found.values(), strict=True)],
        "chunk_bytes": _CHUNK_BYTES,
    }


async def _cpu_per_chunk(stack: Stack, name: str, seconds: float) -> float:
    """Microseconds of CPU of the gateway's process per chunk, of some streams in real time."""
    process = psutil.Process(stack.gateway.pid)
    async with AsyncExitStack() as exits:
        sockets = [await exits.enter_async_context(_open(stack, name)) for _ in range(_STREAMS)]
        readers = [asyncio.create_task(_drain(socket)) for socket in sockets]
        if name == "own":
            start = {"format": "audio/pcm;rate=16000", "services": ["stt"], "interim_results": False}
            for socket in sockets:
                await socket.send(json.dumps({"type": "stream_start", "data": start}))
        await asyncio.sleep(0.5)
        before, chunks = process.cpu_times(), 0
        began = time.monotonic()
        for turn in range(int(seconds * _RATE)):
            for socket in sockets:
                await socket.send(bytes(_CHUNK_BYTES))
                chunks += 1
            await asyncio.sleep(max(0.0, began + (turn + 1) / _RATE - time.monotonic()))
        after = process.cpu_times()
        for reader in readers:
            reader.cancel()
    used = after.user + after.system - before.user - before.system
    return 1e6 * used / chunks


def _open(stack: Stack, name: str) -> connect:
    listen = f"{stack.http_url.replace('http', 'ws')}/v1/listen?encoding=linear16&sample_rate=16000"
    url, scheme = (stack.ws_url, "Bearer") if name == "own" else (listen, "Token")
    headers = {"Authorization": f"{scheme} {KEY}"}
    return connect(url, additional_headers=headers, proxy=None, compression=None)


async def _drain(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this part."""
    parser.add_argument("--door-kills", type=int, default=20)
    parser.add_argument("--door-seconds", type=float, default=5.0, help="measured time of a dialect's CPU")
    parser.add_argument("--door-rounds", type=int, default=4)
