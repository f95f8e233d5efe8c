"""What a frame costs: each stage, the whole chain with OpenCV and with LiteRT, and other projects' face trackers."""

from __future__ import annotations

import importlib.util
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from bench.checks import Findings
from bench.environments import ROOT, prepared
from bench.ratios import ratio
from workers import models
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.baseline import Baseline
from workers.vision.face_reader import TURNS_FPS, FaceFollower, FaceNets, Reading
from workers.vision.landmarks import region_of_mesh
from workers.vision.nets import reader
from workers.vision.pictures import Picture, decode_image
from workers.vision.pose import solve
from workers.vision.signals import measure

PORTRAIT = ROOT / "tests" / "data" / "faces" / "astronaut.jpg"
NAMES = ("face_detection_full_range", "face_landmark", "iris_landmark")
PEERS = ("facemesh", "facemesh-irises", "facemesh-irises-count", "haar")
CHILD = Path(__file__).with_name("peers.py")
DESIGN_CHAIN_MS = 18.0
"""The chain's most expensive frame in the design trial; the baseline where MediaPipe cannot be installed."""

FRAME = "a frame at 10 frames per second"
REPEATS = 30
PICTURES = 30
ROUNDS = 9
TURNS = 12
"""Frames that `FRAME` averages over: the cycle of detector and eyes repeats three times."""

STEPS_MS = {f"{fps} frames per second": round(1000 / fps) for fps in (30, 15, 10, 5)}


def placed(x: float = 0.0, y: float = 0.0) -> Picture:
    """The portrait in 640 x 480, as a browser would send it, off centre by this many pixels."""
    canvas = np.full((480, 640, 3), 120, np.uint8)
    canvas[96:384, 160:480] = decode_image(PORTRAIT.read_bytes())
    shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return np.asarray(cv2.warpAffine(canvas, shift, (640, 480), borderMode=cv2.BORDER_REPLICATE))


def jpeg(picture: Picture) -> bytes:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert done
    return data.tobytes()


def moving() -> list[Picture]:
    """A face that sways by 40 pixels; the last picture continues into the first."""
    turns = [2 * np.pi * i / PICTURES for i in range(PICTURES)]
    return [placed(40 * np.sin(turn), 15 * np.cos(turn)) for turn in turns]


def nets_of(name: str, cache: Path) -> FaceNets | None:
    """The networks, loaded with OpenCV or LiteRT; None if that library is not installed."""
    if name == "litert" and importlib.util.find_spec("ai_edge_litert") is None:
        return None
    return FaceNets(*(models.resolve(weights, cache).path for weights in NAMES), reader(name))


def stages(cache: Path) -> Findings:
    """CPU of each stage on one picture, milliseconds, with each library."""
    found = Findings()
    for name in ("opencv", "litert"):
        nets = nets_of(name, cache)
        if nets is not None:
            found.figures[name] = _stages(nets)
    return found


def _stages(nets: FaceNets) -> dict[str, float]:
    picture, data = placed(), jpeg(placed())
    face = FaceFollower().read(nets, picture, 0).face
    assert face is not None
    mesh = face.mesh
    assert mesh is not None
    region, reading, baseline = region_of_mesh(mesh.points), Reading(1, face), Baseline()
    _, before = measure(picture, reading, baseline, 0, None)
    eyes = nets.eyes.read(picture, mesh, 0)
    analyzer, clock = Analyzer(), iter(range(0, 1 << 30, 100))
    steps: dict[str, Callable[[], object]] = {
        "decode JPEG 640x480": lambda: decode_image(data),
        "detector": lambda: nets.detector.detect(picture),
        "mesh": lambda: nets.mesh.read(picture, region),
        "irises, both": lambda: nets.eyes.read(picture, mesh, 0),
        "irises, alternating": lambda: nets.eyes.read(picture, mesh, 0, eyes),
        "pose": lambda: solve(mesh.points, 640, 480),
        "signals": lambda: measure(picture, reading, baseline, 0, before),
        FRAME: lambda: [analyzer.analyze(nets, picture, next(clock), Wanted()) for _ in range(TURNS)],
    }
    return {label: cpu_ms(work) / (TURNS if label == FRAME else 1) for label, work in steps.items()}


def cpu_ms(work: Callable[[], object]) -> float:
    """The median CPU time of a call on this thread, milliseconds."""
    work()
    times = []
    for _ in range(REPEATS):
        began = time.thread_time()
        work()
        times.append(1000 * (time.thread_time() - began))
    return statistics.median(times)


def compare(cache: Path) -> Findings:
    """The face chain (detector, mesh, irises, pose) and MediaPipe's, alternating over the same pictures in one run."""
    found = Findings()
    pictures = moving()
    ours = {
        f"{name}, {rate}{'' if irises else ', without irises'}": _chain(nets, pictures, step, irises=irises)
        for name in ("opencv", "litert")
        if (nets := nets_of(name, cache)) is not None
        for rate, step in STEPS_MS.items()
        for irises in (True, False)
    }
    with _peers(pictures) as ask:
        names = list(PEERS) if ask is not None else []
        rounds: dict[str, list[float]] = {name: [] for name in [*ours, *names]}
        for _ in range(ROUNDS):
            for name, run in ours.items():
                rounds[name].append(run())
            for name in names:
                rounds[name].append(ask(name))  # type: ignore[misc]
    costs = {name: statistics.median(times) for name, times in rounds.items()}
    found.figures["cpu_ms"] = costs
    found.figures["yardstick"] = "MediaPipe FaceMesh with irises, in this run" if names else "the design trial's 18 ms"
    # At lower rates both eyes are read on each frame: a frame costs more, a second less. Those rates have no bound.
    yardstick = costs.get("facemesh-irises", DESIGN_CHAIN_MS)
    for name, bound in (("opencv", 3.0), ("litert", 1.5)):
        for rate in (rate for rate, step_ms in STEPS_MS.items() if 1000 / step_ms >= TURNS_FPS):
            entry = ratio(costs.get(f"{name}, {rate}", float("nan")), yardstick, "FaceMesh with irises")
            found.check(
                f"e. face chain ({name}, {rate}), times FaceMesh's CPU", entry["ratio"], "<=", bound if names else 1
            )
            if names:
                found.ratios[f"{name}_{rate}_vs_facemesh".replace(" ", "_")] = entry
    if names:
        found.figures["times FaceMesh that looks for two faces"] = {
            name: costs[name] / costs["facemesh-irises-count"] for name in ours if "without" not in name
        }
        found.figures["without irises, times FaceMesh without irises"] = {
            name: costs[name] / costs["facemesh"] for name in ours if "without" in name
        }
    return found


def _chain(nets: FaceNets, pictures: list[Picture], step_ms: int, *, irises: bool) -> Callable[[], float]:
    """Runs one round: CPU milliseconds per picture, over all threads. The follower keeps its state between rounds."""
    follower, times = FaceFollower(), iter(range(0, 1 << 30, step_ms))

    def run() -> float:
        began = time.process_time()
        for picture in pictures:
            assert follower.read(nets, picture, next(times), with_eyes=irises).count == 1
        return 1000 * (time.process_time() - began) / len(pictures)

    run()
    return run


@contextmanager
def _peers(pictures: list[Picture]) -> Iterator[Callable[[str], float] | None]:
    """A function that runs one round of one of `PEERS` in a child; None where MediaPipe cannot be installed."""
    folder = ROOT / ".cache" / "vision-peers"
    if not prepared(folder, "vision-peers"):
        yield None
        return
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, np.array(pictures))
        file.flush()
        command = [str(folder / "bin" / "python"), str(CHILD), file.name]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={}
        )
        assert child.stdin is not None
        assert child.stdout is not None

        def ask(name: str) -> float:
            child.stdin.write(f"{name} {len(pictures)}\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
            return float(child.stdout.readline().split()[0])  # type: ignore[union-attr]

        try:
            yield ask
        finally:
            child.stdin.close()
            child.wait(30)
            child.stdout.close()
