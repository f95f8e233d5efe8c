"""What a vision worker costs and how well it measures: `python -m bench.vision [--corpus DIR] [--seconds N]`.

CPU time of each stage on one thread, frames a second of a core, results' age at twice the capacity, and (with a corpus)
the number of faces on labelled clips. Prints a table and writes bench/results/vision.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from talkup.v1 import media_pb2, task_pb2

from workers.config import WorkerConfig
from workers.engine import StreamContext
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.baseline import Baseline
from workers.vision.engine import VisionEngine
from workers.vision.face_reader import FaceFollower, FaceNets, Reading
from workers.vision.landmarks import region_of_mesh
from workers.vision.nets import reader
from workers.vision.pictures import Picture, decode_image
from workers.vision.pose import solve
from workers.vision.service import create_engine
from workers.vision.signals import measure

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "tests" / "data" / "faces" / "astronaut.jpg"
RESULTS = ROOT / "bench" / "results" / "vision.json"
REPEATS = 40
DESIGN_CHAIN_MS = (7.0, 18.0)
"""CPU of the chain a frame on one core in the trial that led to this design; the yardstick where no peer installs."""


def picture_640() -> tuple[bytes, Picture]:
    """The portrait in 640 x 480, as a browser would send it."""
    small = decode_image(PORTRAIT.read_bytes())
    canvas = np.full((480, 640, 3), 120, np.uint8)
    canvas[96:384, 160:480] = small
    done, data = cv2.imencode(".jpg", canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return data.tobytes(), canvas


def cpu_ms(work: Callable[[], object]) -> float:
    """The median CPU time of a call on this thread, milliseconds."""
    work()
    times = []
    for _ in range(REPEATS):
        began = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - began))
    return statistics.median(times)


def stages(nets: FaceNets) -> dict[str, float]:
    """CPU of each stage, and of the chain as a stream runs it (detector on every fifth frame)."""
    data, picture = picture_640()
    face = FaceFollower().read(nets, picture, 0).face
    assert face is not None
    mesh = face.mesh
    assert mesh is not None
    region, reading = region_of_mesh(mesh.points), Reading(1, face)
    baseline = Baseline()
    _, before = measure(picture, reading, baseline, 0, None)
    analyzer, clock = Analyzer(), iter(range(0, 1 << 30, 100))
    return {
        "decode JPEG 640x480": cpu_ms(lambda: decode_image(data)),
        "detector": cpu_ms(lambda: nets.detector.detect(picture)),
        "mesh": cpu_ms(lambda: nets.mesh.read(picture, region)),
        "irises (two)": cpu_ms(lambda: nets.eyes.read(picture, mesh)),
        "pose": cpu_ms(lambda: solve(mesh.points, 640, 480)),
        "signals": cpu_ms(lambda: measure(picture, reading, baseline, 0, before)),
        "chain, five frames' mean": cpu_ms(
            lambda: [analyzer.analyze(nets, picture, next(clock), Wanted()) for _ in range(5)]
        )
        / 5,
        "chain without irises": cpu_ms(
            lambda: [analyzer.analyze(nets, picture, next(clock), Wanted(eyes=False)) for _ in range(5)]
        )
        / 5,
    }


async def overload(engine: VisionEngine, capacity_fps: float, seconds: float) -> dict[str, float]:
    """One stream at twice what the worker can do: how old results are, in frame intervals, and what memory does."""
    data, _ = picture_640()
    interval = 1 / (2 * capacity_fps)
    start = task_pb2.StreamStart(
        kind=media_pb2.MEDIA_KIND_IMAGE, format=media_pb2.MediaFormat(container=media_pb2.CONTAINER_JPEG)
    )
    session = engine.open(start, StreamContext("bench", "overload", 1))
    ages: list[float] = []
    flows: list[task_pb2.Flow] = []
    sent: dict[int, float] = {}

    async def read() -> None:
        async for result in session.results():
            if result.analysis.HasField("frame"):
                ages.append(time.monotonic() - sent[result.analysis.frame_seq])
            if result.WhichOneof("result") == "flow":
                flows.append(result.flow)

    reading = asyncio.create_task(read())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < seconds:
        sent[number] = time.monotonic()
        await session.feed(media_pb2.Chunk(sequence=number, payload=data))
        number += 1
        await asyncio.sleep(max(0.0, began + number * interval - time.monotonic()))
    await session.end()
    await reading
    await session.close()
    last = flows[-1]
    exact = last.frames_received == last.frames_analyzed + sum(drop.count for drop in last.dropped)
    result_interval = seconds / max(1, len(ages))
    return {
        "frames sent a second": 1 / interval,
        "results a second": len(ages) / seconds,
        "result age p95, ms": 1000 * float(np.percentile(ages, 95)),
        "result age p95, result intervals": float(np.percentile(ages, 95)) / result_interval,
        "memory growth, MB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024,
        "received = analysed + dropped": float(exact),
    }


def accuracy(nets: FaceNets, corpus: Path) -> dict[str, float]:
    """Share of frames of the JPEG clips and stills whose number of faces (of 40 pixels and more) is right."""
    right = total = 0
    for line in (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] not in ("jpeg-frames", "image") or any("small" in label["pose"] for label in row["labels"]):
            continue
        path = corpus / row["file"]
        follower = FaceFollower()
        for file in sorted(path.glob("*.jpg")) if path.is_dir() else [path]:
            total += 1
            right += follower.read(nets, decode_image(file.read_bytes())).count == row["labels"][0]["faces"]
    return {"frames": total, "face count right": right / max(1, total)}


async def run(corpus: Path | None, seconds: float) -> dict[str, dict[str, float]]:
    """All figures."""
    config = WorkerConfig(service="vision", model_cache=ROOT / ".cache" / "models", threads=1, decoders=1)
    engine = create_engine(config)
    await engine.load()
    nets = FaceNets(*(model.path for model in engine.models), reader("opencv"))
    figures = {"cpu_ms": stages(nets)}
    chain = figures["cpu_ms"]["chain, five frames' mean"] + figures["cpu_ms"]["decode JPEG 640x480"]
    figures["capacity"] = {
        "frames a second of a core": 1000 / chain,
        "default slots on one thread": engine.default_slots(),
        "chain over the trial's upper figure": figures["cpu_ms"]["chain, five frames' mean"] / DESIGN_CHAIN_MS[1],
    }
    figures["overload"] = await overload(engine, 1000 / chain, seconds)
    await engine.close()
    if corpus is not None:
        figures["accuracy"] = accuracy(nets, corpus)
    return figures


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.vision", description=__doc__)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the overload (%(default)s)")
    options = parser.parse_args()
    figures = asyncio.run(run(options.corpus, options.seconds))
    for group, numbers in figures.items():
        print(group)
        for name, number in numbers.items():
            print(f"  {name:<40} {number:10.2f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
