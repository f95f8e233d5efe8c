"""A full worker in virtual time: how late words are by the number of streams, on a machine of any load.

Recogniser, pace and voice detector are the real ones; threads, batches and their costs are modelled. What a step takes
comes from the worker's own measurement of this machine in CPU time, and a text is the offline one as far as it was
spoken by then. So no model runs while streams do, other programs do no harm, and two versions can be compared. The
model knows no interims, rejected hypotheses, media decoders or transport.

Asked for by name only: the figures are a model's, and `capacity` measures.
"""

from __future__ import annotations

import heapq
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE
from bench.scoring import percentiles
from bench.stt.bench import ENGLISH, Bench, resolved
from bench.stt.live import Track, tracks_of
from workers.load_meter import LoadMeter
from workers.stt import events
from workers.stt.calibration import calibrate
from workers.stt.config import SttConfig
from workers.stt.decode_job import DecodeJob, Effort, StreamOptions
from workers.stt.hypothesis import Hypothesis
from workers.stt.pace import Pace
from workers.stt.recognizer import Recognizer
from workers.stt.step_cost import StepCosts, Work
from workers.stt.tuning import Tuning, samples
from workers.stt.vad import VoiceDetector
from workers.stt.words import Word

_SIZES = (16, 20, 24, 28, 32, 40, 52, 68)
_SECONDS = 40.0
"""In which streams begin; all play to their ends."""
_STAGGER = 4.0
_CHUNK = SAMPLE_RATE // 10
_BATCH = 4
_SLOWER = 1.2
"""Of a step in a full worker beyond the benchmark's costs. With it and the costs of 30 November 2026 (encoder 56 ms,
decoder 73 in fours, alignment 20), this model of the rules of that day said 1.0 and 2.3 s for the last final of 20
streams (p50, p95), where the idle machine took 0.9 and 2.3 s."""
_TOKENS_A_WORD = 1.3
_SURE, _LIKELY, _CUT_OFF = 0.95, 0.6, 0.4
"""Probabilities of words: of three quarters, of the others, and of one that the window's end cuts off."""


def crowd(bench: Bench) -> Findings:
    """Numbers of streams one after the other, the same tracks in each."""
    found = Findings()
    model = bench.model(ENGLISH)
    config = SttConfig(ENGLISH, resolved(ENGLISH).path, threads=bench.threads, decode_batch=_BATCH)
    measured = calibrate(model.transcriber, config)
    found.figures["step_ms"] = 1000 * measured.step_cost
    tracks = tracks_of(bench)
    for size in _SIZES:
        made = Crowd(tracks, model.vad, measured.costs, bench.threads)
        made.play(size, _SECONDS)
        figures = made.figures()
        found.figures[f"streams_{size}"] = figures
        bench.say(f"{size} streams: { {name: round(value, 2) for name, value in figures.items()} }")
        if bench.left < 0:
            break
    return found


@dataclass(eq=False)
class Asked:
    """A job that waits or runs. `order`: as the scheduler's."""

    job: DecodeJob
    due: float
    speaker: Speaker
    order: tuple[bool, float, int]


@dataclass
class Crowd:
    """The events of a worker with some threads, in order of their time in seconds."""

    tracks: list[Track]
    detect_voice: VoiceDetector
    costs: StepCosts
    threads: int
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    queue: list[Asked] = field(default_factory=list)
    finals: list[float] = field(default_factory=list)
    commits: list[float] = field(default_factory=list)
    busy: float = 0.0
    audio: float = 0.0
    jobs: int = 0
    greedy: int = 0
    withdrawn: int = 0

    def __post_init__(self) -> None:
        self.load = LoadMeter(self.threads, 0.0)
        self._free = self.threads
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def play(self, streams: int, seconds: float) -> None:
        """Keep so many streams going; those that begin within `seconds` play to their ends."""

        def begin(now: float) -> None:
            if now < seconds:
                track = self.rng.choice(self.tracks)
                self.audio += track.clip.seconds
                Speaker(self, track, now, lambda end: self.at(end + self.rng.uniform(0, 0.5), begin))

        for _ in range(streams):
            self.at(self.rng.uniform(0, _STAGGER), begin)
        while self._events:
            now, _, happen = heapq.heappop(self._events)
            happen(now)

    def at(self, time: float, happen: Callable[[float], None]) -> None:
        """Call `happen` with the time when it has come."""
        self._count += 1
        heapq.heappush(self._events, (time, self._count, happen))

    def ask(self, speaker: Speaker, job: DecodeJob, due: float, now: float) -> Asked:
        """Queue a job, and begin what can begin."""
        self.jobs += 1
        self.greedy += job.request.beam == 1
        asked = Asked(job, due, speaker, (not job.closing, due, self.jobs))
        self.queue.append(asked)
        self.at(now, self._begin)
        return asked

    def figures(self) -> dict[str, float]:
        """Seconds, shares of jobs, and model seconds per second of audio."""
        final, commit = percentiles(self.finals, 50, 95), percentiles(self.commits, 50, 95)
        return {
            "finalisation_p50": final[0],
            "finalisation_p95": final[1],
            "commit_p50": commit[0],
            "commit_p95": commit[1],
            "model_per_audio_second": self.busy / self.audio,
            "jobs_per_audio_second": self.jobs / self.audio,
            "greedy_share": self.greedy / self.jobs,
            "withdrawn": float(self.withdrawn),
            "streams_finished": float(len(self.finals)),
        }

    def _begin(self, now: float) -> None:
        while self._free and self.queue:
            self.queue.sort(key=lambda asked: asked.order)
            key = self.queue[0].job.request.batch_key
            alike = [asked for asked in self.queue if asked.job.request.batch_key == key]
            batch = alike[: min(_BATCH, -(-len(alike) // self._free))]
            for asked in batch:
                self.queue.remove(asked)
            self._run(batch, now)

    def _run(self, batch: list[Asked], now: float) -> None:
        heard = [asked.speaker.hear(asked.job) for asked in batch]
        frames = batch[0].job.request.encoder_frames
        work = Work(frames, [one.tokens + 1 for one in heard], sum(bool(one.words) for one in heard))
        took = _SLOWER * self.costs.of(work, 1, _BATCH)
        self._free -= 1
        self.load.change(1, now)
        self.busy += took

        def end(then: float) -> None:
            self._free += 1
            self.load.change(-1, then)
            for asked, hypothesis in zip(batch, heard, strict=True):
                asked.speaker.answer(asked, hypothesis, then)
            self._begin(then)

        self.at(now + took, end)


class Speaker:
    """One live stream, as `workers.stt.session` drives it."""

    def __init__(self, crowd: Crowd, track: Track, began: float, ended: Callable[[float], None]) -> None:
        self._crowd = crowd
        self._track = track
        self._began = began
        self._ended = ended
        self._tuning = Tuning()
        self._recognizer = Recognizer(crowd.detect_voice, self._tuning, StreamOptions("en", interims=False))
        self._pace = Pace(self._tuning)
        self._asked: Asked | None = None
        self._hurries = False
        crowd.at(began + _CHUNK / SAMPLE_RATE, self._speak)

    def hear(self, job: DecodeJob) -> Hypothesis:
        """The words spoken in the job's audio; one that is cut off is another word."""
        start, end = job.start / SAMPLE_RATE, job.end / SAMPLE_RATE
        words = []
        for word in self._track.words:
            if not start - 0.05 <= word.start < end - 0.05:
                continue
            draw = zlib.crc32(f"{word.text} {word.start}".encode()) % 4
            cut = word.end > end
            sureness = _CUT_OFF if cut else _SURE if draw else _LIKELY
            text = f" {word.text.strip()}{'x' if cut else ''}"
            first, last = max(0, samples(word.start - start)), samples(min(word.end, end) - start)
            words.append(Word(text, first, last, sureness))
        return Hypothesis(tuple(words), -0.2, 0.0, False, "en", tokens=round(_TOKENS_A_WORD * len(words)))

    def answer(self, asked: Asked, hypothesis: Hypothesis, now: float) -> None:
        self._asked, self._hurries = None, False
        self._pace.done(asked.due, now)
        self._recognizer.apply(asked.job, hypothesis)
        self._drive(now)

    def _speak(self, now: float) -> None:
        """The next chunk arrives when its last sample is spoken; the last one brings the end with it."""
        audio, received = self._track.clip.audio, self._recognizer.received
        self._pace.begin(received, now)
        self._recognizer.append_samples(audio[received : received + _CHUNK])
        left = len(audio) - self._recognizer.received
        if left:
            self._crowd.at(now + min(left, _CHUNK) / SAMPLE_RATE, self._speak)
        else:
            self._recognizer.end()
            self._hurry(now)
        self._drive(now)

    def _hurry(self, now: float) -> None:
        asked = self._asked
        if asked is None or asked not in self._crowd.queue or asked.job.closing or asked.due > now:
            return
        if self._recognizer.received - asked.job.end <= samples(self._tuning.stretched_step):
            self._crowd.queue.remove(asked)
            self._crowd.withdrawn += 1
            self._recognizer.withdraw(asked.job)
            self._asked, self._hurries = None, True

    def _drive(self, now: float) -> None:
        if self._asked is not None:
            return
        job = self._recognizer.advance(self._effort(now))
        for event in self._recognizer.pop_events():
            if isinstance(event, events.Final):
                self._crowd.commits += [now - self._began - word.end / SAMPLE_RATE for word in event.words]
        if job is not None:
            due = self._pace.due(job.end, self._began + np.ceil(job.end / _CHUNK) * _CHUNK / SAMPLE_RATE)
            self._asked = self._crowd.ask(self, job, due, now)
        elif self._recognizer.finished:
            self._crowd.finals.append(now - self._began - self._track.clip.seconds)
            self._ended(now)

    def _effort(self, now: float) -> Effort:
        recognizer = self._recognizer
        backlog = recognizer.received - recognizer.position
        effort = self._pace.effort(backlog=backlog, roomy=False, load=self._crowd.load.at(now))
        return self._pace.hurried(effort, until_close=recognizer.until_mark, withdrawn=self._hurries)
