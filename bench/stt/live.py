"""Capacity in real time: increasing numbers of streams of nearly continuous speech into a real worker."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import grpc
import numpy as np
import psutil
from talkup.v1 import transcript_pb2

from bench.checks import Findings
from bench.corpus import Clip, joined
from bench.ratios import ratio
from bench.scoring import matched, percentiles
from bench.stt.bench import ENGLISH, Bench
from bench.stt.offline import TimedWord
from bench.stt.worker import Call, Stub, Worker, call, connected, pcm, worker_process
from workers.stt.words import word_key

ASKED = 20
_MANY = 500
_TRIAL_SECONDS = 45.0
_ALONE_SECONDS = 40.0
_STAGGER_SECONDS = 4.0
_LATEST = 2.0
_STEP = 2
_TRACKS = 6
"""How many of the clips that are played are also transcribed offline, for the cost."""
_LONGEST_TRACK = 30.0
"""Seconds; bounds a trial, which waits for all streams that started in time."""
_MOST = 128
_TIMELY = 5.0
"""Seconds from a word to its final (p95) up to which captions are of use; a worker should admit no more streams."""
_AUDIO_KEPT = 30 * 16_000 * 4
"""Bytes that a stream's window and backlog may take: 30 s of float32."""


@dataclass(frozen=True, slots=True)
class Track:
    """What a stream plays, and the words in it by offline alignment."""

    clip: Clip
    chunks: list[bytes]
    words: list[TimedWord]


@dataclass(slots=True)
class Trial:
    """The results of `streams` parallel streams. `calls` holds the finished ones with what they played."""

    streams: int
    calls: list[tuple[Track, Call]] = field(default_factory=list)
    failed: int = 0
    cpu: float = 0.0
    memory: int = 0
    other: float = 0.0
    """CPU of the machine that neither the worker nor this process used, as a share of all cores."""

    def finalisation(self) -> list[float]:
        return [made.finalisation for _, made in self.calls]

    def commit(self) -> list[float]:
        """Seconds from the end of each word to the arrival of its final."""
        late = []
        for track, made in self.calls:
            words = [(at, word.text) for at, final in made.finals() for word in final.words]
            pairs = matched([word_key(w.text) for w in track.words], [word_key(text) for _, text in words])
            late += [words[right][0] - made.began - track.words[left].end for left, right in pairs]
        return late

    def figures(self) -> dict[str, Any]:
        """For the results file: seconds, shares of all cores, bytes."""
        final, commit = percentiles(self.finalisation(), 50, 95), percentiles(self.commit(), 50, 95)
        return {
            "finalisation_p50": final[0],
            "finalisation_p95": final[1],
            "commit_p50": commit[0],
            "commit_p95": commit[1],
            "cpu_share": self.cpu,
            "cpu_per_audio_second": self.cpu * (psutil.cpu_count() or 1) / self.streams,
            "other_cpu_share": self.other,
            "memory_mb": self.memory / 1e6,
            "streams_finished": len(self.calls),
            "streams_failed": self.failed,
        }

    @property
    def keeps_up(self) -> bool:
        """Whether 95 % of the streams were final within 2 s of their end, and none failed."""
        return bool(self.calls) and not self.failed and percentiles(self.finalisation(), 95)[0] < _LATEST


def capacity(bench: Bench) -> Findings:
    """One stream (interims, memory), 16, 20, then as many as keep up."""
    found = Findings()
    tracks = tracks_of(bench)
    with worker_process(ENGLISH) as worker:
        found.figures["slots_by_worker"] = worker.own_slots
    with worker_process(ENGLISH, slots=_MANY) as worker:
        offline = [_offline_cost(bench, tracks)]
        alone = trial(bench, found, worker, tracks, 1, _ALONE_SECONDS)
        _interims(found, alone)
        offline.append(_offline_cost(bench, tracks))
        sixteen = trial(bench, found, worker, tracks, 16, _TRIAL_SECONDS)
        asked = trial(bench, found, worker, tracks, ASKED, _TRIAL_SECONDS)
        largest = _largest(bench, found, worker, tracks, asked if asked.keeps_up else None)
        offline.append(_offline_cost(bench, tracks))
    found.figures["offline_cpu_per_audio_second"] = offline
    _ratios(bench, found, alone.figures(), largest, float(np.median(offline)))
    figures = asked.figures()
    per_core = largest / bench.threads
    found.figures["largest"] = largest
    found.check("a. live streams per core with p95 finalisation < 2 s", per_core, ">=", 10)
    found.check(f"a. finalisation p95 at {ASKED} streams, s", figures["finalisation_p95"], "<", 1.0)
    found.check(f"a. commit latency p50 at {ASKED} streams, s", figures["commit_p50"], "<=", 2.1)
    found.check(f"a. commit latency p95 at {ASKED} streams, s", figures["commit_p95"], "<=", 3.6)
    allowed = 1.3 * alone.memory + 16 * _AUDIO_KEPT
    found.check("g. memory of 16 streams, relative to 1.3 x one plus the audio kept", sixteen.memory / allowed, "<=", 1)
    timely = found.figures["timely"] = _timely(found)
    share = found.figures["slots_by_worker"] / timely if timely else float("nan")
    found.check(f"slots by own measurement / streams with commits within {_TIMELY:.0f} s, least", share, ">=", 0.7)
    found.check(f"slots by own measurement / streams with commits within {_TIMELY:.0f} s, most", share, "<=", 1.1)
    return found


def _largest(bench: Bench, found: Findings, worker: Worker, tracks: Sequence[Track], passed: Trial | None) -> int:
    """The largest number of streams that keeps up: by a quarter up or four down from 20, then halfway between."""
    good, bad = (ASKED, _MOST) if passed is not None else (0, ASKED)
    while bad - good > _STEP and bench.left > 3 * _TRIAL_SECONDS:
        near = good + max(4, good // 4) if good else bad - 4
        streams = near if good == 0 or bad == _MOST else (good + bad) // 2
        if streams <= 0:
            break
        if trial(bench, found, worker, tracks, streams, _TRIAL_SECONDS).keeps_up:
            good = streams
        else:
            bad = streams
    return good


def _timely(found: Findings) -> int:
    """The largest number of streams tried whose words were final within `_TIMELY`."""
    tried = {name: figures for name, figures in found.figures.items() if name.startswith("streams_")}
    return max((int(name[8:]) for name, figures in tried.items() if figures["commit_p95"] <= _TIMELY), default=0)


def _offline_cost(bench: Bench, tracks: Sequence[Track]) -> float:
    """CPU of offline faster-whisper per second of what the streams play."""
    return bench.offline(ENGLISH).cpu_per_second([track.clip for track in tracks[:: max(1, len(tracks) // _TRACKS)]])


def _ratios(bench: Bench, found: Findings, alone: dict[str, Any], largest: int, offline: float) -> None:
    """CPU of a stream, and the streams that keep up, against offline on the same audio in this run."""
    against = "offline faster-whisper, beam 5, on what the streams play"
    found.ratios["cpu_one_stream"] = ratio(alone["cpu_per_audio_second"], offline, against)
    if largest:
        busiest = found.figures[f"streams_{largest}"]["cpu_per_audio_second"]
        found.ratios["cpu_at_largest"] = ratio(busiest, offline, against)
    found.ratios["streams_per_offline_core"] = ratio(largest, bench.threads / offline, against, lower_is_better=False)
    found.check("c. CPU of one stream with interims, times offline", alone["cpu_per_audio_second"] / offline, "<=", 1.1)
    found.check("c. live streams x offline's CPU / cores", largest * offline / bench.threads, ">=", 1.2)


def trial(
    bench: Bench, found: Findings, worker: Worker, tracks: Sequence[Track], streams: int, seconds: float
) -> Trial:
    trial = asyncio.run(_play(worker, tracks, streams, seconds))
    figures = trial.figures()
    found.figures[f"streams_{streams}"] = figures
    shown = {name: round(value, 2) for name, value in figures.items()}
    bench.say(f"{streams} streams: {shown}")
    return trial


async def _play(worker: Worker, tracks: Sequence[Track], streams: int, seconds: float) -> Trial:
    """Keep this many streams going for this long; streams that start in time play to their end."""
    trial = Trial(streams)
    rng = random.Random(streams)
    until = time.monotonic() + _STAGGER_SECONDS + seconds
    async with connected(worker) as stub, asyncio.TaskGroup() as group:
        places = [
            group.create_task(_keep_playing(stub, trial, tracks, f"{streams}-{place}", rng, until))
            for place in range(streams)
        ]
        await asyncio.sleep(_STAGGER_SECONDS)
        await _measure(worker, trial, until)
        await asyncio.wait(places)
    return trial


async def _measure(worker: Worker, trial: Trial, until: float) -> None:
    """CPU and memory while all places play."""
    own = psutil.Process()
    before, mine, began = worker.usage(), sum(own.cpu_times()[:2]), time.monotonic()
    psutil.cpu_percent()
    while time.monotonic() < until:
        await asyncio.sleep(1.0)
        trial.memory = max(trial.memory, worker.usage().memory)
    cores = psutil.cpu_count() or 1
    passed = cores * (time.monotonic() - began)
    machine = psutil.cpu_percent() / 100
    trial.cpu = (worker.usage().cpu - before.cpu) / passed
    trial.other = machine - trial.cpu - (sum(own.cpu_times()[:2]) - mine) / passed


async def _keep_playing(
    stub: Stub, trial: Trial, tracks: Sequence[Track], name: str, rng: random.Random, until: float
) -> None:
    await asyncio.sleep(rng.uniform(0, _STAGGER_SECONDS))
    options = transcript_pb2.SpeechOptions(language="en", interim_results=True)
    number = 0
    while time.monotonic() < until:
        track = rng.choice(tracks)
        number += 1
        try:
            made = await call(stub, f"{name}-{number}", track.chunks, options)
        except (grpc.aio.AioRpcError, TimeoutError):
            trial.failed += 1
            return
        trial.calls.append((track, made))
        await asyncio.sleep(rng.uniform(0, 0.5))


def _interims(found: Findings, alone: Trial) -> None:
    """How soon and how often a single stream gets interims."""
    firsts: list[float] = []
    gaps: list[float] = []
    for track, made in alone.calls:
        if not track.words:
            continue
        shown = [at - made.began for at, result in made.results if result.HasField("transcript")]
        first, last = track.words[0].start, track.words[-1].end
        inside = [at for at in shown if at <= last]
        firsts += [at - first for at in inside[:1]]
        gaps += [after - before for before, after in pairwise(inside) if after - before > 0.02]
    worst = max(firsts, default=float("nan"))
    found.figures["interims"] = {
        "first_p50": percentiles(firsts, 50)[0],
        "first_worst": worst,
        "gap_p50": percentiles(gaps, 50)[0],
        "gap_p95": percentiles(gaps, 95)[0],
    }
    found.check("g. first interim after speech begins, worst, s", worst, "<=", 0.8)
    found.check("g. speech between interims, mean, s", float(np.mean(gaps)) if gaps else float("nan"), "<=", 0.7)


def tracks_of(bench: Bench) -> list[Track]:
    """Clips of 6 s and more and groups of three, with their words' times."""
    clips = bench.spoken()
    known = dict(zip((clip.name for clip in clips), bench.offline(ENGLISH).words(clips), strict=True))
    groups = joined(clips, group=3)
    played = [*(clip for clip in clips if clip.seconds > 6), *groups]
    return [_track(clip, known) for clip in played if clip.seconds <= _LONGEST_TRACK] or [_track(clips[0], known)]


def _track(clip: Clip, known: dict[str, list[TimedWord]]) -> Track:
    parts = clip.parts or ((clip.name, 0.0),)
    words = [
        TimedWord(word.text, word.start + offset, word.end + offset) for name, offset in parts for word in known[name]
    ]
    return Track(clip, pcm(clip.audio), words)
