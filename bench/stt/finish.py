"""How soon the last words of one live stream are final: where silence ends its speech, and where `stream_end` does.

A real worker hears clips in real time, one stream at a time. After silence, the figure is the time from the end of
speech and the endpointing silence behind it to the last final. The end of speech is the worker's own event: the end of
the last frame that surely holds a voice. It is negative where the last words were final before the silence was over.
A clip that ends with its last word and `stream_end` has no such silence: the figure is the time to its last final.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from talkup.v1 import transcript_pb2

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.scoring import percentiles
from bench.stt.bench import ENGLISH, Bench
from bench.stt.worker import Call, Stub, Worker, call, connected, pcm, worker_process
from workers.stt.tuning import Tuning

_CLIPS = 10
_SHORTEST, _LONGEST = 3.0, 8.0
_SILENCE_SECONDS = 2.0
"""Longer than the silence that ends a segment, in noise, too."""
_ENDPOINTING = Tuning().endpointing
_NEAR = 0.5
"""Seconds by which the last word may seem to end behind the end of speech."""


def finish(bench: Bench) -> Findings:
    """Clips followed by silence, then the same clips without it, one stream at a time."""
    found = Findings()
    fitting = [clip for clip in bench.spoken() if _SHORTEST < clip.seconds < _LONGEST] or bench.spoken()
    clips = fitting[:: max(1, len(fitting) // _CLIPS)][:_CLIPS]
    silence = np.zeros(round(_SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    with worker_process(ENGLISH) as worker:
        followed = asyncio.run(_played(worker, clips, silence))
        ended = asyncio.run(_played(worker, clips, silence[:0]))
    after_silence = [late for made in followed for late in _after_silence(made)]
    after_end = [made.finalisation for made in ended]
    for name, late in (("after_silence", after_silence), ("after_stream_end", after_end)):
        p50, p95 = percentiles(late, 50, 95)
        found.figures[name] = {"p50": p50, "p95": p95, "worst": max(late, default=float("nan")), "ends": len(late)}
    found.check(
        "b. last final beyond end of speech and endpointing silence, one stream, p50, s",
        percentiles(after_silence, 50)[0],
        "<=",
        0.15,
    )
    return found


async def _played(worker: Worker, clips: Sequence[Clip], silence: NDArray[np.float32]) -> list[Call]:
    async with connected(worker) as stub:
        return [await _one(stub, place, clip, silence) for place, clip in enumerate(clips)]


async def _one(stub: Stub, place: int, clip: Clip, silence: NDArray[np.float32]) -> Call:
    options = transcript_pb2.SpeechOptions(
        language="en", interim_results=True, endpointing_ms=round(1000 * _ENDPOINTING)
    )
    return await call(stub, f"finish-{len(silence)}-{place}", pcm(np.concatenate([clip.audio, silence])), options)


def _after_silence(made: Call) -> list[float]:
    """Seconds from each end of speech and the silence behind it to the last final of the words before it.

    An end of speech that `stream_end` makes has no such silence and is left out.
    """
    kind = transcript_pb2.SPEECH_EVENT_TYPE_SPEECH_ENDED
    events = [(at, result.speech_event) for at, result in made.results if result.HasField("speech_event")]
    ends = [event.media_time_ms / 1000 for at, event in events if event.type == kind and at < made.ended_at]
    late, before = [], 0.0
    for end in ends:
        finals = [at for at, final in made.finals() if before < final.end_ms / 1000 <= end + _NEAR]
        late += [at - made.began - end - _ENDPOINTING for at in finals[-1:]]
        before = end + _NEAR
    return late
