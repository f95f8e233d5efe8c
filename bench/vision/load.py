"""An overloaded vision worker: age of results, memory growth, and the effect on speech on the same machine."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import soundfile
from talkup.v1 import media_pb2, task_pb2
from talkup_client import Client, StreamEnded, TranscriptUpdate
from talkup_client.events import AnalysisResult

from bench.checks import Findings
from bench.harness.stack import HOST, Stack, free_port, running_stack, start
from bench.vision.chain import jpeg, placed
from workers.chunk import chunk_of
from workers.engine import StreamContext
from workers.vision.engine import VisionEngine
from workers.vision.service import create_engine
from workers.vision.session import VisionSession
from workers.vision.settings import VisionSettings

FPS = 10
SPEECH = Path(__file__).parents[2] / "tests" / "data" / "speech" / "interview.ogg"
SPEAKERS = 4
ROUNDS = 3
MEGABYTE = 1 << 20


@dataclass(slots=True)
class Load:
    """Results of picture streams: their ages in seconds, the flow reports, resident bytes over time."""

    ages: list[float] = field(default_factory=list)
    flows: list[task_pb2.Flow] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        return all(
            flow.frames_received == flow.frames_analyzed + sum(drop.count for drop in flow.dropped)
            for flow in self.flows
        )

    @property
    def growth_mb(self) -> float:
        """How much more memory was resident in the last quarter than in the second, megabytes."""
        quarter = len(self.memory) // 4
        second, last = self.memory[quarter : 2 * quarter], self.memory[-quarter:]
        return (statistics.median(last) - statistics.median(second)) / MEGABYTE if quarter else float("nan")

    def p95(self) -> float:
        return float(np.percentile(self.ages, 95)) if self.ages else float("nan")


async def overload(config: VisionSettings, seconds: float) -> Findings:
    """One thread at twice its capacity: first many cameras of 10 frames per second, then one fast camera."""
    found = Findings()
    engine = create_engine(config)
    await engine.load()
    try:
        capacity = await _capacity(engine, seconds / 4)
        cameras = max(2, round(2 * capacity / FPS))
        crowd = await _load(engine, cameras, 1 / FPS, seconds)
        single = await _load(engine, 1, 1 / (2 * capacity), seconds / 2)
        after = await _capacity(engine, seconds / 4)
    finally:
        await engine.close()
    found.figures |= {
        "capacity, frames per second": capacity,
        "capacity after the run": after,
        "slots by its own measurement": engine.default_slots(),
        "cameras": cameras,
        "results per second": len(crowd.ages) / seconds,
        "age p50, ms": 1000 * statistics.median(crowd.ages),
        "age p95, ms": 1000 * crowd.p95(),
        "one camera: frame interval, ms": 500 / capacity,
        "one camera: age p95, ms": 1000 * single.p95(),
        "one camera: age p95, in units of one analysis": single.p95() * capacity,
    }
    found.check(f"d. age p95 in frame intervals, {cameras} cameras on one thread", crowd.p95() * FPS, "<=", 2)
    found.check("d. memory growth over the run, MB", crowd.growth_mb, "<=", 5)
    found.check("c. received = analysed + dropped in every message", crowd.exact and single.exact, "==", 1)
    return found


async def _capacity(engine: VisionEngine, seconds: float) -> float:
    """Frames per second if each waits for the previous one; 100 ms of media apart, so that nothing is dropped."""
    session, data = engine.open(start_of(), StreamContext("bench", "capacity", 1)), [jpeg(placed(x)) for x in (-30, 30)]
    reading = asyncio.create_task(_drained(session))
    began, sequence = time.monotonic(), 0
    while time.monotonic() < began + seconds:
        captured = 1 + sequence * 1000 // FPS
        chunk = media_pb2.Chunk(sequence=sequence, payload=data[sequence % 2], capture_time_unix_ms=captured)
        await session.accept(chunk_of(chunk))
        await session.flush(sequence)
        sequence += 1
    spent = time.monotonic() - began
    await session.end()
    flow = await reading
    await session.close()
    assert flow.frames_analyzed == sequence
    return sequence / spent


async def _drained(session: VisionSession) -> task_pb2.Flow:
    """Read a stream to its end; return its last flow report."""
    flow = task_pb2.Flow()
    async for result in session.results():
        flow = result.flow if result.WhichOneof("result") == "flow" else flow
    return flow


def start_of() -> task_pb2.StreamStart:
    """A stream of JPEG pictures."""
    container = media_pb2.MediaFormat(container=media_pb2.CONTAINER_JPEG)
    return task_pb2.StreamStart(kind=media_pb2.MEDIA_KIND_IMAGE, format=container)


async def _load(engine: VisionEngine, cameras: int, interval: float, seconds: float) -> Load:
    """Run cameras in parallel, started at random moments."""
    load, data = Load(), [jpeg(placed(x)) for x in (-30, 0, 30)]
    rng = random.Random(cameras)
    gc.collect()
    watching = asyncio.create_task(_watch(load.memory))
    async with asyncio.TaskGroup() as group:
        for number in range(cameras):
            group.create_task(_camera(engine, number, load, data, interval, seconds, rng.uniform(0, interval)))
    watching.cancel()
    return load


async def _watch(memory: list[int]) -> None:
    process = psutil.Process()
    while True:
        memory.append(process.memory_info().rss)
        await asyncio.sleep(0.1)


async def _camera(
    engine: VisionEngine, number: int, load: Load, data: Sequence[bytes], interval: float, seconds: float, later: float
) -> None:
    session = engine.open(start_of(), StreamContext("bench", str(number), 1))
    sent: dict[int, float] = {}

    async def read() -> None:
        async for result in session.results():
            if result.analysis.HasField("frame"):
                load.ages.append(time.monotonic() - sent[result.analysis.frame_seq])
            elif result.WhichOneof("result") == "flow":
                load.flows.append(result.flow)

    reading = asyncio.create_task(read())
    began = time.monotonic() + later
    for sequence in itertools.count():
        due = began + sequence * interval
        if due > began + seconds:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        sent[sequence] = time.monotonic()
        await session.accept(chunk_of(media_pb2.Chunk(sequence=sequence, payload=data[sequence % len(data)])))
    await session.end()
    await reading
    await session.close()


async def speech_under_load(config: VisionSettings, cameras: int) -> Findings:
    """Speech through a gateway with tiny.en: alternately alone, and while more cameras run than a worker can follow."""
    found = Findings()
    settings = {"WORKER_MODEL_CACHE": str(config.model_cache)}
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="talkup-bench-")))
        port = free_port()
        vision = start(
            "vision-1",
            ("-m", "workers", "vision"),
            {"WORKER_PORT": str(port), "WORKER_SLOTS": "200", **settings},
            folder,
        )
        exits.callback(vision.stop)
        stack = exits.enter_context(
            running_stack(
                folder=folder,
                worker_arguments=("stt",),
                worker_settings={"WORKER_MODEL": "tiny.en", **settings},
                gateway_settings={"GATEWAY_VISION_WORKERS": f"{HOST}:{port}", "GATEWAY_MAX_SESSIONS_PER_KEY": "500"},
            )
        )
        delays: dict[str, list[float]] = {"alone": [], "with_cameras": []}
        ages: list[tuple[float, float]] = []
        await _speakers(stack, 2)
        for _ in range(ROUNDS):
            delays["alone"] += await _speakers(stack, SPEAKERS)
            stop = asyncio.Event()
            watching = asyncio.create_task(_watchers(stack, cameras, stop))
            await asyncio.sleep(2)
            delays["with_cameras"] += await _speakers(stack, SPEAKERS)
            stop.set()
            ages += await watching
    p50 = {name: float(np.percentile(values, 50)) for name, values in delays.items()}
    p95 = {name: float(np.percentile(values, 95)) for name, values in delays.items()}
    age_p95, way_p95 = (float(np.percentile(values, 95)) for values in zip(*ages, strict=True))
    mean = {name: statistics.fmean(values) for name, values in delays.items()}
    found.figures |= {
        "cameras": cameras,
        "finals": {name: len(values) for name, values in delays.items()},
        "word spoken to final, p50, s": p50,
        "word spoken to final, p95, s": p95,
        "word spoken to final, mean, s": mean,
        "results per second": len(ages) / (ROUNDS * (soundfile.info(SPEECH).duration + 2)),
        "results, p95 age through the gateway, ms": 1000 * age_p95,
        "outside the worker, p95, ms": 1000 * way_p95,
    }
    found.check(
        "d. speech while cameras run, mean delay relative to alone", mean["with_cameras"] / mean["alone"], "<=", 1.1
    )
    found.check("d. age p95 through the gateway, frame intervals", age_p95 * FPS, "<=", 2)
    return found


async def _speakers(stack: Stack, count: int) -> list[float]:
    """Several speakers say the clip in real time; seconds from the end of each word to the arrival of its final."""
    delays: list[float] = []
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(_speaker(stack, delays, 0.37 * number))
    return delays


async def _speaker(stack: Stack, delays: list[float], later: float) -> None:
    spoken, rate = soundfile.read(SPEECH, dtype="int16")
    step = rate // 10
    await asyncio.sleep(later)
    audio = f"audio/pcm;rate={rate};channels=1;encoding=s16le"
    async with Client(stack.ws_url, key=stack.key) as client, client.stream(format=audio, language="en") as stream:
        began = time.monotonic()

        async def read() -> None:
            async for event in stream:
                if isinstance(event, TranscriptUpdate) and event.is_final:
                    delays.extend(time.monotonic() - began - word.end_ms / 1000 for word in event.words)
                elif isinstance(event, StreamEnded):
                    return

        reading = asyncio.create_task(read())
        for number, at in enumerate(range(0, len(spoken), step)):
            await asyncio.sleep(max(0.0, began + (number + 1) / 10 - time.monotonic()))
            await stream.send(spoken[at : at + step].tobytes())
        await stream.end()
        await reading


async def _watchers(stack: Stack, cameras: int, stop: asyncio.Event) -> list[tuple[float, float]]:
    """Cameras of 10 frames per second through the gateway: ages of results, and their parts outside the worker."""
    ages: list[tuple[float, float]] = []
    rng = random.Random(cameras)
    data = [jpeg(placed(x)) for x in (-30, 0, 30)]
    async with asyncio.TaskGroup() as group:
        for _ in range(cameras):
            group.create_task(_watcher(stack, data, ages, rng.uniform(0, 1 / FPS), stop))
    return ages


async def _watcher(
    stack: Stack, data: Sequence[bytes], ages: list[tuple[float, float]], later: float, stop: asyncio.Event
) -> None:
    await asyncio.sleep(later)
    async with Client(stack.ws_url, key=stack.key) as client, client.stream(format="image/jpeg") as stream:
        sent: dict[int, float] = {}

        async def read() -> None:
            async for event in stream:
                if isinstance(event, AnalysisResult) and event.data["frame"]:
                    age = time.monotonic() - sent[event.data["frame_seq"]]
                    ages.append((age, age - sum(event.data["latency_ms"].values()) / 1000))
                elif isinstance(event, StreamEnded):
                    return

        reading = asyncio.create_task(read())
        began = time.monotonic()
        for sequence in itertools.count():
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began + sequence / FPS - time.monotonic())):
                    await stop.wait()
            if stop.is_set():
                break
            sent[sequence] = time.monotonic()
            await stream.send(data[sequence % len(data)])
        await stream.end()
        await reading
