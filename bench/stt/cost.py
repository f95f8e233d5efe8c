"""CPU of one stream per second of audio, against offline faster-whisper on the same clips, and of a step's parts.

The clips are played in turn offline and by ours, with and without interims, in one process and as fast as it goes. CPU
time counts, so other programs do little harm. Without other streams there are no batches: this is what a stream costs
that is alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.ratios import ratio
from bench.stt.bench import ENGLISH, Bench
from workers.stt.decode_job import Effort, StreamOptions
from workers.stt.recognizer import Recognizer
from workers.stt.tuning import FRAME, Tuning
from workers.stt.vad import VadState

_CLIPS = 8
_SHORTEST, _LONGEST = 6.0, 20.0
_CHUNK = SAMPLE_RATE // 10
_ROUNDS = 3
_BATCHES = (1, 2, 4, 8)
_AGAINST = "offline faster-whisper, beam 5, on the same clips"


def cost(bench: Bench) -> Findings:
    """A stream alone, with and without interims, and offline, in turns; then the parts of a step by batch size."""
    found = Findings()
    fitting = [clip for clip in bench.spoken() if _SHORTEST < clip.seconds < _LONGEST] or bench.spoken()
    clips = fitting[:: max(1, len(fitting) // _CLIPS)][:_CLIPS]
    offline = bench.offline(ENGLISH)
    offline.cpu_per_second(clips[:1])  # loads the model
    spent = dict.fromkeys(("offline", "steps", "steps_and_interims"), 0.0)
    seconds = 0.0
    for clip in clips:
        seconds += clip.seconds
        spent["offline"] += clip.seconds * offline.cpu_per_second([clip])
        spent["steps"] += _played(bench, clip, interims=False)
        spent["steps_and_interims"] += _played(bench, clip, interims=True)
        if bench.left < 0:
            break
    found.figures["cpu_per_audio_second"] = {name: value / seconds for name, value in spent.items()}
    found.figures["audio_seconds"] = seconds
    found.figures["parts_ms"] = _parts(bench)
    found.ratios["steps"] = ratio(spent["steps"], spent["offline"], _AGAINST)
    found.ratios["steps_and_interims"] = ratio(spent["steps_and_interims"], spent["offline"], _AGAINST)
    times = found.ratios["steps_and_interims"]["ratio"]
    found.check("c. CPU of one stream alone with interims, times offline", times, "<=", 1.1)
    return found


def _played(bench: Bench, clip: Clip, *, interims: bool) -> float:
    """CPU seconds of one stream; every interim that is asked for is made."""
    model = bench.model(ENGLISH)
    tuning = Tuning()
    heard = Recognizer(model.vad, tuning, StreamOptions("en", interims=interims))
    effort = Effort(tuning.step, tuning.beam, extra_interims=interims)
    began = time.process_time()
    for first in range(0, len(clip.audio), _CHUNK):
        heard.append_samples(clip.audio[first : first + _CHUNK])
        if first + _CHUNK >= len(clip.audio):
            heard.end()
        while (job := heard.advance(effort)) is not None:
            [hypothesis] = model.transcriber.run([job.request])
            heard.apply(job, hypothesis)
    return time.process_time() - began


def _parts(bench: Bench) -> dict[str, float]:
    """Milliseconds of CPU of each part of a step (8 s of audio, 24 tokens), per stream, the lowest of some rounds."""
    work = bench.model(ENGLISH).transcriber.benchmark(Tuning())
    work.warm_up()
    audio, vad = np.zeros(int(Tuning().step * SAMPLE_RATE) // FRAME * FRAME, np.float32), bench.model(ENGLISH).vad
    parts: dict[str, tuple[int, Callable[[], object]]] = {"align": (1, lambda: work.align(1))}
    for size in _BATCHES:
        parts[f"encode, batch of {size}"] = size, lambda size=size: work.encode(size)  # type: ignore[misc]
        parts[f"decode, batch of {size}"] = size, lambda size=size: work.decode(size)  # type: ignore[misc]
    parts["voice detection"] = 1, lambda: vad(audio, VadState.fresh())
    return {name: 1000 * min(_cpu(run) for _ in range(_ROUNDS)) / size for name, (size, run) in parts.items()}


def _cpu(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began
