"""Delays on the demo page: speech into Chromium's microphone, the real model, words on the screen.

python -m bench.page [--corpus dir] [--model base] [--clips 5] [--detect]

For each clip it measures the time from the first sound of speech to the first word on the page, the time from the last
sound to the last final, and the word error, compared with offline faster-whisper on the same audio. The level of the
page's own microphone says when speech begins and ends; all times are on the page's clock. `other_cpu_share` is the
share of the machine that other programs used: unless it is near zero, the times say little.
Prints a table and writes bench/results/page.json.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bench import checks
from bench.corpus import OWN_CLIPS, SAMPLE_RATE, Clip
from bench.harness.browsing import Visit, visiting, write_samples
from bench.harness.stack import Stack, running_stack
from bench.scoring import Errors, percentiles, total, word_errors
from bench.stt.bench import Bench

PROBE = Path(__file__).with_name("page_probe.js")
RESULTS = Path(__file__).parents[1] / "results" / "page.json"
MAX_FIRST_MS = 2000
MAX_LAST_MS = 2000
MAX_POINTS = 5.0
SHORTEST_S = 3.0
SILENCE_S = 4.0
LOUDNESS = 0.4


@dataclass(frozen=True, slots=True)
class Run:
    """One clip spoken to the page. Times are ms on the page's clock; `text` is what the page shows at the end."""

    clip: Clip
    times: dict[str, float]
    text: str
    other_cpu_share: float

    def between(self, first: str, last: str) -> float:
        """Milliseconds from one moment to another."""
        return self.times[last] - self.times[first]

    def figures(self) -> dict[str, float]:
        """The figures for the table."""
        return {
            "first_interim_ms": self.between("speechBegan", "firstInterim"),
            "last_final_ms": self.between("speechEnded", "lastFinal"),
            "click_to_microphone_ms": self.between("clicked", "opened"),
            "click_to_first_media_ms": self.between("clicked", "sent"),
            "click_to_first_interim_ms": self.between("clicked", "firstInterim"),
        }


class Meter:
    """The share of all cores that other programs have used since this object was created."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._own = self._own_seconds()
        psutil.cpu_percent()

    def other_share(self) -> float:
        passed = (psutil.cpu_count() or 1) * (time.monotonic() - self._began)
        return max(0.0, psutil.cpu_percent() / 100 - (self._own_seconds() - self._own) / passed)

    @staticmethod
    def _own_seconds() -> float:
        """CPU of this process, the stack and the browser."""
        own = psutil.Process()
        return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))


async def speak(stack: Stack, clip: Clip, folder: Path, *, detect: bool = False) -> Run:
    """Play the clip and then silence to the page until the last final has arrived.

    `detect`: leave the language to the worker.
    """
    microphone = folder / "microphone.wav"
    write_samples(microphone, clip.audio, SAMPLE_RATE, silence_s=60.0)
    address = f"http://localhost:{stack.http_port}/"
    async with visiting(address, microphone, once=True, script=PROBE.read_text(encoding="utf-8")) as visit:
        await visit.enter_key(stack.key)
        await visit.page.select_option("#language", "auto" if detect else clip.language)
        meter = Meter()
        await visit.page.click("#toggle")
        await visit.page.wait_for_timeout(1000 * (clip.seconds + SILENCE_S))
        await until_silent(visit)
        text = await visit.finals()
        times: dict[str, Any] = await visit.page.evaluate("window.probe")
        if visit.problems:
            raise RuntimeError(f"the page complains: {visit.problems}")
        return Run(clip, {name: float(value) for name, value in times.items()}, text, meter.other_share())


async def until_silent(visit: Visit) -> None:
    """Wait until the page shows neither speech nor an interim."""
    await visit.until("() => document.getElementById('speech').dataset.on === 'false'")
    await visit.until("() => document.getElementById('interim').textContent === ''")


def choose_clips(bench: Bench, count: int) -> list[Clip]:
    """Clips of at least 3 s from all over the material, made equally loud, since the probe has a fixed threshold."""
    clips = [clip for clip in bench.spoken() if clip.seconds >= SHORTEST_S]
    picked = [clips[round(place)] for place in np.linspace(0, len(clips) - 1, min(count, len(clips)))]
    return [replace(clip, audio=clip.audio * (LOUDNESS / np.percentile(np.abs(clip.audio), 99))) for clip in picked]


def summarize(runs: Sequence[Run], offline: Sequence[str]) -> tuple[dict[str, Any], list[checks.Check]]:
    """The figures of all runs, and the checks against bounds."""
    each = [run.figures() for run in runs]
    figures: dict[str, Any] = {"other_cpu_share": {run.clip.name: run.other_cpu_share for run in runs}}
    for name in each[0]:
        median, worst = percentiles([one[name] for one in each], 50, 100)
        figures[name] = {"p50": median, "max": worst}
    here = total(word_errors(run.clip.text, run.text, run.clip.language) for run in runs)
    there = total(word_errors(run.clip.text, text, run.clip.language) for run, text in zip(runs, offline, strict=True))
    figures["word_errors"] = {"page_percent": here.percent, "offline_percent": there.percent, "words": here.words}
    return figures, [
        checks.Check(
            "first interim after speech begins, worst, ms", figures["first_interim_ms"]["max"], "<=", MAX_FIRST_MS
        ),
        checks.Check("last final after speech ends, worst, ms", figures["last_final_ms"]["max"], "<=", MAX_LAST_MS),
        checks.Check("word errors above offline, points", _points(here, there), "<=", MAX_POINTS),
    ]


def _points(here: Errors, there: Errors) -> float:
    return here.percent - there.percent


def main(argv: Sequence[str]) -> int:
    """Run; return exit status 1 when a bound is broken."""
    arguments = _arguments(argv)
    bench = Bench(arguments.corpus, 60.0, lambda line: print(f"  {line}", flush=True))
    clips = choose_clips(bench, arguments.clips)
    settings = {"WORKER_MODEL": arguments.model, "WORKER_SLOTS": "4"}
    runs = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_stack(worker_arguments=("stt",), worker_settings=settings) as stack,
    ):
        for clip in clips:
            runs.append(asyncio.run(speak(stack, clip, Path(folder), detect=arguments.detect)))
            shown = {name: round(value) for name, value in runs[-1].figures().items()}
            print(clip.name, shown, f"other {runs[-1].other_cpu_share:.2f}", flush=True)
    figures, kept = summarize(runs, bench.offline(arguments.model).texts(clips))
    figures["machine"] = {
        "cores": bench.threads,
        "processor": platform.machine(),
        "model": arguments.model,
        "detect": arguments.detect,
    }
    print(checks.table(checks.flattened(figures)))
    print(checks.table([("figure", "value", "bound", ""), *(check.row() for check in kept)]))
    checks.write(arguments.out, figures, kept)
    return int(any(check.verdict == "FAIL" for check in kept))


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", type=Path, default=OWN_CLIPS, help="folder with manifest.jsonl")
    parser.add_argument("--model", default="base", help="weights of the speech worker")
    parser.add_argument("--clips", type=int, default=5, help="how many clips to speak")
    parser.add_argument("--detect", action="store_true", help="leave the language to the worker")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the figures are written")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
