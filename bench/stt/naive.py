"""CPU time of ours and of a naive server, in the same steps of the same audio, in one process.

Naive: one lock, `WhisperModel.transcribe` (greedy) over the growing buffer at every step.
"""

from __future__ import annotations

import time

import faster_whisper
import numpy as np

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip, joined
from bench.ratios import ratio
from bench.scoring import percentiles
from bench.stt.bench import ENGLISH, Bench, resolved
from bench.stt.offline import growing_buffer
from bench.stt.replay import Player
from workers.stt.decode_job import StreamOptions
from workers.stt.hypothesis import DecodeRequest
from workers.stt.transcriber import Transcriber
from workers.stt.tuning import Tuning

_STREAMS = 4
_SECONDS = 60.0
_GROUP = 12
_ONE_WINDOW = 30.0
"""The longest audio, in seconds, that Whisper decodes at once."""
_EVERY = 4
"""Only every fourth naive step is measured, since they take minutes."""


def compare(bench: Bench) -> Findings:
    """CPU seconds of a stream's step, alternating ours (four streams in batches) and naive."""
    found = Findings()
    clips = _streams(bench)
    transcriber = bench.model(ENGLISH).transcriber
    naive = faster_whisper.WhisperModel(str(resolved(ENGLISH).path), device="cpu", compute_type="int8", cpu_threads=1)
    growing_buffer(naive, clips[0].audio[:SAMPLE_RATE])
    step = Tuning().step
    ours: list[float] = []
    theirs: list[float] = []
    short: list[float] = []
    players = [Player(clip, bench.model(ENGLISH).vad, Tuning(), StreamOptions("en", interims=False)) for clip in clips]
    requests = [player.request() for player in players]
    for index in range(1, int(min(clip.seconds for clip in clips) / step)):
        ours.append(_our_step(transcriber, players, requests) / len(clips))
        if index % _EVERY == 0 and bench.left > 60:
            clip = clips[index // _EVERY % len(clips)]
            began = time.process_time()
            growing_buffer(naive, clip.audio[: int(index * step * SAMPLE_RATE)])
            theirs.append(time.process_time() - began)
            if index * step <= _ONE_WINDOW:
                short.append(theirs[-1])
    our_mean, their_mean = float(np.mean(ours)), float(np.mean(theirs))
    found.figures.update(
        our_cpu_per_step=our_mean,
        our_cpu_p50=percentiles(ours, 50)[0],
        naive_cpu_per_step=their_mean,
        ratio_up_to_30_s=our_mean / float(np.mean(short)) if short else float("nan"),
        naive_cpu_p50=percentiles(theirs, 50)[0],
        stream_seconds=min(clip.seconds for clip in clips),
    )
    found.check("a. CPU per stream-step, ours / naive", our_mean / their_mean, "<=", 1 / 6)
    found.ratios["cpu_per_step"] = ratio(our_mean, their_mean, "naive faster-whisper, the growing buffer at each step")
    return found


def _our_step(transcriber: Transcriber, players: list[Player], requests: list[DecodeRequest | None]) -> float:
    """CPU seconds of one hypothesis per stream, including its next request; equal lengths run in one batch."""
    began = time.process_time()
    keys = {request.batch_key for request in requests if request is not None}
    for key in keys:
        places = [i for i, request in enumerate(requests) if request is not None and request.batch_key == key]
        batch = [request for i in places if (request := requests[i]) is not None]
        for place, hypothesis in zip(places, transcriber.run(batch), strict=True):
            players[place].answer(hypothesis)
            requests[place] = players[place].request()
    return time.process_time() - began


def _streams(bench: Bench) -> list[Clip]:
    """Unbroken speech; each stream gets a different part."""
    clips = bench.spoken()
    groups = [clip for clip in joined(clips, group=_GROUP) if clip.seconds >= _SECONDS][:_STREAMS]
    return groups or joined(clips * _STREAMS, group=_STREAMS)[:1]
