"""`make bench-gpu`: what a GPU carries, in less than ten minutes, without a network.

It needs the code, its packages and the weights of tiny.en (39 MB, `--tiny DIR`). Larger networks are made on the spot,
in their shapes, with random weights and forced lengths: they give costs, not words. Per network: the cost of encoder,
decoder and alignment by batch size, the batch sizes chosen, the streams in real time that follow, and memory. With
tiny.en the texts of clips on the GPU are compared with those on the CPU. `--device cpu` is a check of this command on a
machine without a GPU, with a smaller network; its figures say nothing about a GPU. Writes bench/results/gpu.json.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import psutil

from bench import checks, corpus, machine
from bench.checks import Findings
from bench.gpu import shapes
from bench.scoring import total, word_errors
from bench.stt.bench import ENGLISH, resolved
from bench.stt.replay import Model, replay
from workers.stt.calibration import streams_in_real_time
from workers.stt.decode_job import StreamOptions
from workers.stt.transcriber import ModelBenchmark, Transcriber
from workers.stt.tuning import Tuning
from workers.stt.vad import SileroVad

RESULTS = Path(__file__).parents[1] / "results" / "gpu.json"
_NETWORKS = {"cuda": (shapes.SMALL, shapes.LARGE_V3_TURBO), "cpu": (shapes.SMOKE,)}
_BATCHES = {"cuda": (1, 2, 4, 8, 16, 32, 64), "cpu": (1, 2)}
_TYPES = {"cuda": ("float16", "int8_float16"), "cpu": ("int8",)}
_ROUNDS = 5
_ROUNDS_SECONDS = 4.0
Clock = Callable[[], float]
"""Seconds: elapsed ones on a GPU, of CPU on a CPU."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark. `ends`: monotonic seconds after which no further network is measured."""

    device: str
    tiny: Path
    folder: Path
    ends: float
    threads: int

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()


def main(argv: Sequence[str]) -> int:
    """Measure, print, write; return 2 without a GPU, 1 when texts of the GPU are worse than the CPU's."""
    arguments = _arguments(argv)
    if arguments.device == "cuda" and not ctranslate2.get_cuda_device_count():
        print("bench-gpu: no GPU that CTranslate2 can use; `--device cpu` checks the command alone", file=sys.stderr)
        return 2
    found = Findings({"machine": machine.describe(), "device": arguments.device, "gpu": machine.gpu()})
    with tempfile.TemporaryDirectory() as folder, machine.surroundings() as around:
        ends = time.monotonic() + 60 * arguments.minutes
        run = Run(arguments.device, arguments.tiny, Path(folder), ends, arguments.threads)
        for compute_type in _TYPES[run.device]:
            found.figures[f"{ENGLISH} {compute_type}"] = _measured(run, run.tiny, compute_type)
        _texts(run, found)
        for shape in _NETWORKS[run.device]:
            _measure_shape(run, found, shape)
    found.figures["surroundings"] = around
    print(checks.table(checks.flattened(found.figures)))
    print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in found.checks)]))
    checks.write(arguments.out, found.document(), found.checks)
    return int(any(check.verdict == "FAIL" for check in found.checks))


def _measure_shape(run: Run, found: Findings, shape: shapes.Shape) -> None:
    for compute_type in _TYPES[run.device]:
        name = f"{shape.name} {compute_type}"
        if run.left < 0:
            found.figures[name] = "not measured: no time left"
            continue
        began = time.monotonic()
        path = shapes.make(shape, run.tiny, run.folder / "network", compute_type)
        made = time.monotonic() - began
        found.figures[name] = {"made_s": made, **_measured(run, path, compute_type)}
        shutil.rmtree(path)


def _measured(run: Run, path: Path, compute_type: str) -> dict[str, Any]:
    """Costs of a network, and the streams that follow from them."""
    tuning, before = Tuning(), _memory(run.device)
    began = time.monotonic()
    transcriber = Transcriber(path, device=run.device, compute_type=compute_type, threads=run.threads)
    loaded = time.monotonic() - began
    bench = transcriber.benchmark(tuning)
    bench.warm_up()
    clock = time.process_time if run.device == "cpu" else time.perf_counter
    parts = _costs(bench, _BATCHES[run.device], clock)
    align = min(_seconds(bench.align, 1, clock) for _ in range(_ROUNDS))
    cheapest = {name: min(costs, key=costs.__getitem__) for name, costs in parts.items()}
    step = align + sum(costs[cheapest[name]] for name, costs in parts.items())
    figures = {
        "load_s": loaded,
        **{f"{name}_ms_by_batch": {f"{n}": 1000 * cost for n, cost in costs.items()} for name, costs in parts.items()},
        "align_ms": 1000 * align,
        "batches": {name: f"{size}" for name, size in cheapest.items()},
        "step_ms": 1000 * step,
        "streams_in_real_time": int(streams_in_real_time(step, 1, tuning.step)),
        "memory_mb": (_memory(run.device) - before) / 1e6,
    }
    streams = figures["streams_in_real_time"]
    print(f"{path.name} {compute_type}: step {1000 * step:.1f} ms, {streams} streams", flush=True)
    return figures


def _costs(bench: ModelBenchmark, sizes: Sequence[int], clock: Clock) -> dict[str, dict[int, float]]:
    """Seconds per window of encoder and decoder by batch size: the lowest of several rounds, sizes in turns."""
    parts: dict[str, Callable[[int], None]] = {"encode": bench.encode, "decode": bench.decode}
    costs = {name: dict.fromkeys(sizes, float("inf")) for name in parts}
    for name, work in parts.items():
        began = time.monotonic()
        for _ in range(_ROUNDS):
            for size in sizes:
                costs[name][size] = min(costs[name][size], _seconds(work, size, clock) / size)
            if time.monotonic() - began > _ROUNDS_SECONDS:
                break
    return costs


def _seconds(work: Callable[[int], None], size: int, clock: Clock) -> float:
    began = clock()
    work(size)
    return clock() - began


def _texts(run: Run, found: Findings) -> None:
    """Streaming texts of the project's own clips on the device and on the CPU: words that differ, word errors."""
    clips = corpus.load(corpus.OWN_CLIPS, "speech", "en")
    texts = {}
    for device, compute_type in (("cpu", "int8"), (run.device, _TYPES[run.device][0])):
        model = Model(
            Transcriber(run.tiny, device=device, compute_type=compute_type, threads=run.threads), SileroVad(), 1, 4
        )
        played = replay(model, clips, StreamOptions("en", interims=False))
        texts[device] = [one.text for one in played]
        errors = total(word_errors(one.clip.text, one.text, "en") for one in played)
        found.figures[f"word_error_percent_{device}"] = errors.percent
    apart = total(word_errors(a, b, "en") for a, b in zip(texts["cpu"], texts[run.device], strict=True))
    found.figures["words"], found.figures["words_that_differ_from_the_cpu"] = apart.words, apart.errors
    found.check("words that differ between device and CPU, percent", apart.percent, "<=", 2.0)


def _memory(device: str) -> float:
    """Bytes in use: of the GPU as the driver says, otherwise of this process."""
    if device != "cuda":
        return float(psutil.Process().memory_info().rss)
    used = machine.gpu("memory.used").get("memory.used", "nan")
    return 1e6 * float(used.split()[0])


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--device", choices=tuple(_NETWORKS), default="cuda", help="%(default)s")
    parser.add_argument("--tiny", type=Path, help="folder with the weights of tiny.en (the installed ones)")
    parser.add_argument("--threads", type=int, default=1, help="model calls at once (%(default)s)")
    parser.add_argument("--minutes", type=float, default=8.0, help="after this no further network (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    arguments = parser.parse_args(argv)
    arguments.tiny = arguments.tiny or resolved(ENGLISH).path
    return arguments


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
