"""Recordings: a worker's file mode alternating with offline faster-whisper, and live streams at the same time.

Offline is `WhisperModel.transcribe` of the whole recording (beam 5, voice filter) on as many threads as the worker has.
Wall times mean little on a busy machine; the ratios come from runs that follow each other.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import faster_whisper
import numpy as np
from talkup.v1 import transcript_pb2

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip, joined
from bench.ratios import ratio
from bench.scoring import Errors, percentiles, total, word_errors
from bench.stt.bench import ENGLISH, MANY_LANGUAGES, Bench, resolved
from bench.stt.worker import Call, Stub, Worker, call, connected, pcm, worker_process
from workers.stt.words import join_finals

_ROUNDS = 2
_LIVE_ROUNDS = 3
_LIVE_STREAMS = 3
_LIVE_SECONDS = 40.0
_CLIPS = 40
_LONG_SECONDS = 120.0
"""Without this much time left, the larger model is left out."""
_MOST_SLOTS = 16


@dataclass(slots=True)
class Runs:
    """What one way of transcribing took, and its errors: seconds of wall time and of CPU, one a run."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    errors: list[Errors] = field(default_factory=list)

    def add(self, wall: float, cpu: float, errors: Errors) -> None:
        self.wall.append(wall)
        self.cpu.append(cpu)
        self.errors.append(errors)

    def figures(self) -> dict[str, object]:
        return {
            "wall": [round(value, 2) for value in self.wall],
            "cpu": [round(value, 2) for value in self.cpu],
            "word_error_percent": self.errors[-1].percent if self.errors else float("nan"),
        }


def recordings(bench: Bench) -> Findings:
    """Live streams with and without a recording; then both models on the long recording and on clips.

    Each is measured at a worker of its own: one that has served live streams keeps a thread free for them for half a
    minute, so a recording there is not alone.
    """
    found = Findings()
    with worker_process(ENGLISH, slots=_MOST_SLOTS) as worker:
        _with_live_streams(bench, found, worker)
    with worker_process(ENGLISH, slots=_MOST_SLOTS) as worker:
        _against_offline(bench, found, worker, ENGLISH)
    if bench.left > _LONG_SECONDS:
        with worker_process(MANY_LANGUAGES, slots=_MOST_SLOTS) as worker:
            _against_offline(bench, found, worker, MANY_LANGUAGES)
    found.figures["load"] = os.getloadavg()[0]
    return found


def _against_offline(bench: Bench, found: Findings, worker: Worker, name: str) -> None:
    offline = faster_whisper.WhisperModel(
        str(resolved(name).path), device="cpu", compute_type="int8", cpu_threads=bench.threads
    )
    clips = bench.spoken()[:_CLIPS]
    long = bench.clips("long-speech", "en") or joined(clips * 6, group=6)[:1]
    ours, theirs = Runs(), Runs()
    for number in range(_ROUNDS):
        if number and bench.left < 2 * (ours.wall[-1] + theirs.wall[-1]):
            break
        _run_worker(worker, long, ours, f"long-{number}")
        _run_offline(offline, long, theirs)
        bench.say(f"{name}: file {ours.wall[-1]:.1f} s, offline {theirs.wall[-1]:.1f} s")
    our_clips, their_clips = Runs(), Runs()
    _run_worker(worker, clips, our_clips, "clips")
    _run_offline(offline, clips, their_clips)
    walls = [a / b for a, b in zip(ours.wall, theirs.wall, strict=True)]
    cpus = [a / b for a, b in zip(ours.cpu, theirs.cpu, strict=True)]
    found.figures[name] = {
        "seconds": sum(clip.seconds for clip in long),
        "file": ours.figures(),
        "offline": theirs.figures(),
        "clips_file": our_clips.figures(),
        "clips_offline": their_clips.figures(),
        "cpu_ratio": float(np.median(cpus)),
    }
    found.check(f"h. file mode, wall time relative to offline, {name}", float(np.median(walls)), "<=", 1.1)
    found.ratios[f"wall_{name}"] = ratio(float(np.median(walls)), 1, "offline faster-whisper, beam 5")
    found.ratios[f"cpu_{name}"] = ratio(float(np.median(cpus)), 1, "offline faster-whisper, beam 5")
    for what, mine, other in (("long", ours, theirs), ("clips", our_clips, their_clips)):
        gap = mine.errors[-1].percent - other.errors[-1].percent
        found.check(f"h. file mode, word error above offline, {name}, {what}, points", gap, "<=", 0.5)


def _run_worker(worker: Worker, clips: Sequence[Clip], runs: Runs, name: str) -> None:
    before, began = worker.usage().cpu, time.monotonic()
    made = asyncio.run(_transcribed(worker, clips, name))
    wall = time.monotonic() - began
    texts = [join_finals((final.text for _, final in one.finals()), clip.language) for clip, one in made]
    runs.add(wall, worker.usage().cpu - before, _scored(clips, texts))


def _run_offline(model: faster_whisper.WhisperModel, clips: Sequence[Clip], runs: Runs) -> None:
    cpu, began = time.process_time(), time.monotonic()
    texts = []
    for clip in clips:
        segments, _ = model.transcribe(clip.audio, language=clip.language, beam_size=5, vad_filter=True)
        texts.append(" ".join(segment.text.strip() for segment in segments))
    runs.add(time.monotonic() - began, time.process_time() - cpu, _scored(clips, texts))


async def _transcribed(worker: Worker, clips: Sequence[Clip], name: str) -> list[tuple[Clip, Call]]:
    """The clips as recordings, one after the other."""
    async with connected(worker) as stub:
        return [(clip, await _file(stub, f"{name}-{place}", clip)) for place, clip in enumerate(clips)]


async def _file(stub: Stub, name: str, clip: Clip) -> Call:
    options = transcript_pb2.SpeechOptions(language=clip.language, mode=transcript_pb2.SPEECH_MODE_FILE)
    return await call(stub, name, pcm(clip.audio), options, realtime=False)


def _scored(clips: Sequence[Clip], texts: Sequence[str]) -> Errors:
    return total(word_errors(clip.text, text, clip.language) for clip, text in zip(clips, texts, strict=True))


def _with_live_streams(bench: Bench, found: Findings, worker: Worker) -> None:
    """How late finals of live streams are, alone and with a recording, alternately."""
    tracks = _tracks(bench)
    alone: list[float] = []
    during: list[float] = []
    for number in range(_LIVE_ROUNDS):
        if number and bench.left < 3 * _LIVE_SECONDS:
            break
        alone += asyncio.run(_live_round(worker, tracks, f"{number}-alone", with_file=False))
        during += asyncio.run(_live_round(worker, tracks, f"{number}-during", with_file=True))
        bench.say(
            f"live p95 alone {percentiles(alone, 95)[0]:.2f} s, with a recording {percentiles(during, 95)[0]:.2f} s"
        )
    figures = {"alone": percentiles(alone, 50, 95), "during": percentiles(during, 50, 95), "finals": len(alone)}
    found.figures["live"] = figures
    moved = figures["during"][1] / figures["alone"][1] - 1
    found.check("h. live finals during a recording, p95 later by", moved, "<=", 0.1)


async def _live_round(worker: Worker, tracks: Sequence[Clip], name: str, *, with_file: bool) -> list[float]:
    """Seconds from the end of each final's last word to its arrival; a recording runs all the while if wanted."""
    options = transcript_pb2.SpeechOptions(language="en", mode=transcript_pb2.SPEECH_MODE_LIVE)
    async with connected(worker) as stub:
        file = asyncio.ensure_future(_files_for_ever(stub, f"file-{name}", tracks)) if with_file else None
        calls = await asyncio.gather(
            *(call(stub, f"live-{name}-{place}", pcm(clip.audio), options) for place, clip in enumerate(tracks))
        )
        if file is not None:
            file.cancel()
            await asyncio.gather(file, return_exceptions=True)
    return [at - made.began - final.end_ms / 1000 for made in calls for at, final in made.finals()]


async def _files_for_ever(stub: Stub, name: str, tracks: Sequence[Clip]) -> None:
    long = Clip("long", "long-speech", "en", np.concatenate([clip.audio for clip in tracks] * 4), "")
    number = 0
    while True:
        number += 1
        await _file(stub, f"{name}-{number}", long)


def _tracks(bench: Bench) -> list[Clip]:
    """Unbroken speech of this many seconds, different for each stream."""
    made = joined(bench.spoken() * 8, group=16)
    length = int(_LIVE_SECONDS * SAMPLE_RATE)
    return [Clip(clip.name, clip.kind, clip.language, clip.audio[:length], "") for clip in made[:_LIVE_STREAMS]]
