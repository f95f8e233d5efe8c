"""`make bench-vision`: CPU cost, accuracy and behaviour under overload of a vision worker.

`--only` chooses parts. `stages` and `chain` measure CPU time; `overload` and `speech` measure elapsed time and need an
idle machine; `accuracy` needs a corpus. Prints tables and writes bench/results/vision.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import checks, machine
from bench.checks import Findings
from bench.vision import chain as vision_chain
from bench.vision import load as vision_load
from workers.vision.face_reader import FaceFollower
from workers.vision.pictures import decode_image
from workers.vision.settings import VisionSettings

RESULTS = Path(__file__).parents[1] / "results" / "vision.json"


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the worker's settings, the corpus if any, seconds of overload, cameras while somebody speaks."""

    config: VisionSettings
    corpus: Path | None
    seconds: float
    cameras: int


def accuracy(run: Run) -> Findings:
    """Share of frames of the JPEG clips and stills whose number of faces (of 40 pixels and more) is right."""
    found = Findings()
    if run.corpus is None:
        return found
    nets = vision_chain.nets_of(run.config.nets, run.config.model_cache)
    if nets is None:
        return found
    right = total = 0
    for line in (run.corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] not in ("jpeg-frames", "image") or any("small" in label["pose"] for label in row["labels"]):
            continue
        path, follower = run.corpus / row["file"], FaceFollower()
        for number, file in enumerate(sorted(path.glob("*.jpg")) if path.is_dir() else [path]):
            total += 1
            picture = decode_image(file.read_bytes())
            right += follower.read(nets, picture, 200 * number).count == row["labels"][0]["faces"]
    found.figures["frames"] = total
    found.check("a. pictures with the right number of faces", right / max(1, total), ">=", 0.95)
    return found


PARTS: dict[str, Callable[[Run], Findings]] = {
    "stages": lambda run: vision_chain.stages(run.config.model_cache),
    "chain": lambda run: vision_chain.compare(run.config.model_cache),
    "overload": lambda run: asyncio.run(vision_load.overload(run.config, run.seconds)),
    "speech": lambda run: asyncio.run(vision_load.speech_under_load(run.config, run.cameras)),
    "accuracy": accuracy,
}


def main(argv: Sequence[str]) -> int:
    """Measure, print, write; exit status 1 when a bound is broken."""
    arguments = _arguments(argv)
    cache = Path(os.environ.get("WORKER_MODEL_CACHE", ".cache/models")).expanduser()
    config = VisionSettings(model_cache=cache, threads=1, decoders=1, nice=0, nets=arguments.nets)
    run = Run(config, arguments.corpus, arguments.seconds, arguments.cameras)
    figures: dict[str, object] = {"machine": machine.describe()}
    kept: list[checks.Check] = []
    for name in arguments.only.split(","):
        began = time.monotonic()
        with machine.surroundings() as around:
            found = PARTS[name](run)
        kept += found.checks
        seconds = time.monotonic() - began
        figures[name] = {**found.document(), "seconds": seconds, "surroundings": around}
        print(f"{name} ({seconds:.0f} s)")
        print(checks.table(checks.flattened(found.figures)), flush=True)
    print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in kept)]))
    checks.write(arguments.out, figures, kept)
    return int(any(check.verdict == "FAIL" for check in kept))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.vision", description=__doc__)
    parser.add_argument("--corpus", type=Path, help="folder with manifest.jsonl")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, comma-separated (%(default)s)")
    parser.add_argument("--nets", choices=("opencv", "litert"), default="opencv", help="library that runs the networks")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the part `overload` (%(default)s)")
    parser.add_argument("--cameras", type=int, default=20, help="cameras in the part `speech` (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    arguments = parser.parse_args(argv)
    for name in arguments.only.split(","):
        if name not in PARTS:
            parser.error(f"no part {name}")
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
