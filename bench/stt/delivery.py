"""What delivery costs in addition to speech: CPU of a stream with and without it, and how late its words are.

CPU: the same clips in one process, in turn with and without, as fast as it goes; the order changes from round to round,
and the least of the rounds counts. Latency: live streams into a real worker, half of them with delivery.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import cycle

import msgspec
from talkup.v1 import analysis_pb2, transcript_pb2

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.ratios import ratio
from bench.scoring import percentiles
from bench.stt.bench import ENGLISH, Bench
from bench.stt.live import Track, Trial, tracks_of
from bench.stt.worker import Call, Stub, Worker, call, connected, worker_process
from workers.delivery.stream import DeliveryStream, open_delivery
from workers.stt import events
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.delivered import spoken
from workers.stt.recognizer import Recognizer
from workers.stt.tuning import Tuning

_CLIPS = 6
_SHORTEST, _LONGEST = 6.0, 25.0
_CHUNK = SAMPLE_RATE // 10
_ROUNDS = 3
_STREAMS = 4
_LIVE_ROUNDS = 3
_BOUND = 1.05
_LATER_SECONDS = 0.05
_AGAINST = "the same stream without delivery"


def delivery(bench: Bench) -> Findings:
    """CPU with and without, with interims and without; then live streams of both kinds at once."""
    found = Findings()
    fitting = [clip for clip in bench.spoken() if _SHORTEST < clip.seconds < _LONGEST] or bench.spoken()
    clips = fitting[:: max(1, len(fitting) // _CLIPS)][:_CLIPS]
    _played(bench, clips[0], interims=False, measured=True)  # loads the model and fills the caches
    seconds = sum(clip.seconds for clip in clips)
    for interims in (False, True):
        without, combined = _both(bench, clips, interims=interims)
        name = "with_interims" if interims else "steps"
        found.figures[f"cpu_per_audio_second_{name}"] = {"without": without / seconds, "with": combined / seconds}
        found.ratios[f"cpu_{name}"] = ratio(combined, without, _AGAINST)
    found.figures["audio_seconds"] = seconds
    times = found.ratios["cpu_with_interims"]["ratio"]
    found.check("CPU of a live stream with delivery, times without", times, "<=", _BOUND)
    if bench.left > 0:
        _latency(bench, found)
    return found


def _both(bench: Bench, clips: Sequence[Clip], *, interims: bool) -> tuple[float, float]:
    """CPU seconds of all clips without and with delivery, the least of the rounds for each clip."""
    sums = {False: 0.0, True: 0.0}
    for clip in clips:
        spent: dict[bool, list[float]] = {False: [], True: []}
        for number in range(_ROUNDS):
            for measured in (False, True) if number % 2 else (True, False):
                spent[measured].append(_played(bench, clip, interims=interims, measured=measured))
        for measured, taken in spent.items():
            sums[measured] += min(taken)
    return sums[False], sums[True]


def _played(bench: Bench, clip: Clip, *, interims: bool, measured: bool) -> float:
    """CPU seconds of one stream, its reports encoded as for another worker."""
    model, tuning = bench.model(ENGLISH), Tuning()
    delivery = open_delivery(analysis_pb2.DeliveryOptions(), None, words=True) if measured else None
    listener = delivery.listener if delivery else None
    heard = Recognizer(model.vad, tuning, StreamOptions("en", interims=interims), listener=listener)
    effort = Effort(tuning.step, tuning.beam, extra_interims=interims)
    began = time.process_time()
    for first in range(0, len(clip.audio), _CHUNK):
        heard.append_samples(clip.audio[first : first + _CHUNK])
        if first + _CHUNK >= len(clip.audio):
            heard.end()
        while (job := heard.advance(effort)) is not None:
            [hypothesis] = model.transcriber.run([job.request])
            heard.apply(job, hypothesis)
        _report(heard, delivery)
    return time.process_time() - began


def _report(heard: Recognizer, delivery: DeliveryStream | None) -> None:
    for event in heard.pop_events():
        match event:
            case events.Final(words, language) if delivery is not None:
                delivery.say(spoken(words), language)
            case events.Committed(position, state):
                msgspec.msgpack.encode(state)
                if delivery is not None:
                    for message in delivery.advance(position):
                        message.SerializeToString()
                    msgspec.msgpack.encode(delivery.state)
            case events.Ended() if delivery is not None:
                delivery.finish(heard.received)


def _latency(bench: Bench, found: Findings) -> None:
    """Finals of live streams with and without delivery, at the same time in one worker."""
    tracks = tracks_of(bench)
    with worker_process(ENGLISH, slots=_STREAMS) as worker:
        plain, measured = asyncio.run(_live(worker, tracks))
    for name, trial in (("without", plain), ("with", measured)):
        commit, final = trial.commit(), trial.finalisation()
        found.figures[f"latency_{name}"] = {
            "streams": len(trial.calls),
            "commit_p50": percentiles(commit, 50)[0],
            "commit_p95": percentiles(commit, 95)[0],
            "finalisation_p50": percentiles(final, 50)[0],
            "finalisation_p95": percentiles(final, 95)[0],
        }
    later = _later(plain, measured)
    found.figures["words_compared"] = len(later)
    if later:
        found.figures["later_p50"], found.figures["later_p95"] = percentiles(later, 50, 95)
        found.check("finals later with delivery, median word, s", found.figures["later_p50"], "<=", _LATER_SECONDS)


def _later(plain: Trial, measured: Trial) -> list[float]:
    """How much later each word is final with delivery: streams of one pair play the same track at the same time."""
    found: list[float] = []
    for (_, without), (_, combined) in zip(plain.calls, measured.calls, strict=True):
        pairs = [
            [(word.text, at - made.began) for at, final in made.finals() for word in final.words]
            for made in (without, combined)
        ]
        if [text for text, _ in pairs[0]] == [text for text, _ in pairs[1]]:
            found += [late - soon for (_, soon), (_, late) in zip(*pairs, strict=True)]
    return found


async def _live(worker: Worker, tracks: Sequence[Track]) -> tuple[Trial, Trial]:
    """Rounds of streams that play the same tracks, half of them with delivery; which one is first, changes."""
    plain, measured = Trial(_STREAMS // 2), Trial(_STREAMS // 2)
    kinds = ((False, plain), (True, measured))
    upcoming = cycle(tracks)
    async with connected(worker) as stub:
        for number in range(_LIVE_ROUNDS):
            played = [next(upcoming) for _ in range(_STREAMS // 2)]
            async with asyncio.TaskGroup() as group:
                both = [
                    (trial, track, group.create_task(_call(stub, f"{number}-{place}-{wanted}", track, wanted=wanted)))
                    for place, track in enumerate(played)
                    for wanted, trial in (kinds if (number + place) % 2 else kinds[::-1])
                ]
            for trial, track, task in both:
                trial.calls.append((track, task.result()))
    return plain, measured


async def _call(stub: Stub, name: str, track: Track, *, wanted: bool) -> Call:
    options = transcript_pb2.SpeechOptions(language="en", interim_results=True)
    asked = analysis_pb2.DeliveryOptions() if wanted else None
    return await call(stub, name, track.chunks, options, delivery=asked)
