"""Equality: a stream with and without others at the same time, and a stream resumed elsewhere and uninterrupted."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from operator import ne

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from talkup.v1 import transcript_pb2

from bench.checks import Findings
from bench.corpus import Clip, joined
from bench.stt.bench import ENGLISH, MANY_LANGUAGES, Bench
from bench.stt.replay import Played, replay
from bench.stt.worker import Call, Stub, Worker, call, connected, pcm, worker_process
from workers.stt.options import stream_options
from workers.stt.words import word_key

_LONGEST = 25.0
_CUTS_AT_MOST = 40
_Text = list[tuple[str, str, int, int]]
"""Words or finals: text, language, start and end."""
_Wanted = tuple[list[bytes], transcript_pb2.SpeechOptions]


def parity(bench: Bench) -> Findings:
    """Eight streams with their own languages, hotwords and options: each alone, then together.

    On the media clock all eight at once, in batches. In a real worker, as many at a time as `at_a_time` says. A worker
    makes the steps of a late stream longer, and then its words may differ: that is no measurement of parity.
    """
    found = Findings()
    wanted = _different_streams(bench)
    alone, together = _on_the_media_clock(bench, wanted)
    found.figures["streams"] = len(wanted)
    differing = sum(map(ne, alone, together))
    found.check(
        "e. of eight streams on the media clock, those whose results differ from running alone", differing, "==", 0
    )
    with worker_process(MANY_LANGUAGES) as worker:
        slots = worker.own_slots
    group = at_a_time(slots, len(wanted))
    with worker_process(MANY_LANGUAGES, slots=16) as worker:
        alone, together = asyncio.run(_alone_and_together(worker, wanted, group))
        late = worker.late_steps()
    differing = sum(map(ne, alone, together))
    found.figures.update(slots=slots, at_a_time=group, differing_in_worker=differing, late_steps=late)
    measured = math.nan if differing and late else differing
    found.check("e. of eight streams in a worker, those that differ from running alone", measured, "==", 0)
    return found


def at_a_time(slots: int, streams: int) -> int:
    """Half of the slots that the worker finds, since steps may grow where it is fuller; two at least."""
    return min(streams, max(2, slots // 2))


def resume(bench: Bench) -> Findings:
    """Cut a stream at every commit and continue on another worker: words lost or doubled."""
    found = Findings()
    clip = joined(bench.spoken()[:4], group=4)[0]
    with worker_process(ENGLISH) as first, worker_process(ENGLISH) as second:
        cuts, edits, words, size = asyncio.run(_cut_everywhere(bench, first, second, clip))
    found.figures.update(cuts=cuts, words=words, edits=edits, largest_state_bytes=size)
    found.check("f. words lost or doubled over all cuts, of words said", edits / max(1, words), "<=", 1 / 200)
    return found


def _on_the_media_clock(bench: Bench, wanted: Sequence[_Wanted]) -> tuple[list[_Text], list[_Text]]:
    """What each stream says alone, one request at a time, and with all others, their requests in batches."""
    model = bench.model(MANY_LANGUAGES)
    network = model.transcriber
    options = [stream_options(speech, network.languages, network.encode_hint) for _, speech in wanted]
    clips = [Clip(str(n), "parity", "", _samples(chunks), "") for n, (chunks, _) in enumerate(wanted)]
    single = replace(model, threads=1, batch=1)
    alone = [replay(single, [clip], one)[0] for clip, one in zip(clips, options, strict=True)]
    together = replay(model, clips, options)
    return [_spoken(run) for run in alone], [_spoken(run) for run in together]


async def _alone_and_together(worker: Worker, wanted: Sequence[_Wanted], group: int) -> tuple[list[_Text], list[_Text]]:
    """What each stream says alone, and in groups of neighbours; the last group begins again at the first."""
    together: list[Call] = []
    async with connected(worker) as stub:
        alone = [await _fast(stub, f"alone-{n}", *one) for n, one in enumerate(wanted)]
        for first in range(0, len(wanted), group):
            places = [(first + place) % len(wanted) for place in range(group)]
            calls = (_fast(stub, f"together-{first}-{n}", *wanted[n]) for n in places)
            together += await asyncio.gather(*calls)
    return [_said(made) for made in alone], [_said(made) for made in together[: len(wanted)]]


async def _cut_everywhere(bench: Bench, first: Worker, second: Worker, clip: Clip) -> tuple[int, int, int, int]:
    """Cuts made, word edits against the whole stream, words compared, bytes of the largest state."""
    chunks = pcm(clip.audio)
    options = transcript_pb2.SpeechOptions(language="en", interim_results=False)
    cuts = edits = words = size = 0
    async with connected(first) as one, connected(second) as other:
        whole = await _fast(one, "whole", chunks, options)
        truth = _words(whole)
        places = [i for i, (_, result) in enumerate(whole.results) if result.progress.resume_state]
        places = [i for i in places if whole.results[i][1].transcript.is_final][:_CUTS_AT_MOST]
        for place in places:
            if bench.left < 60:
                break
            saved = whole.results[place][1].progress
            rest = await call(
                other,
                f"cut-{place}",
                chunks[saved.replay_from_sequence :],
                options,
                realtime=False,
                first=saved.replay_from_sequence,
                resume=saved.resume_state,
            )
            before = Call(results=whole.results[: place + 1])
            edits += Levenshtein.distance(truth, _words(before) + _words(rest))
            cuts, words, size = cuts + 1, words + len(truth), max(size, len(saved.resume_state))
    return cuts, edits, words, size


async def _fast(stub: Stub, name: str, chunks: list[bytes], options: transcript_pb2.SpeechOptions) -> Call:
    return await call(stub, name, chunks, options, realtime=False)


def _different_streams(bench: Bench) -> list[_Wanted]:
    options: list[dict[str, object]] = [
        {"language": "en"},
        {"language": "fr", "endpointing_ms": 1200},
        {"language": "auto"},
        {"language": "de", "word_timestamps": False},
        {"language": "en", "hotwords": ["Kubernetes", "TalkUp"]},
        {"language": "fr", "initial_prompt": "Un entretien."},
        {"language": "es", "interim_results": False},
        {"language": "auto", "interim_results": False, "endpointing_ms": 500},
    ]
    wanted = []
    used: dict[str, int] = {}
    for one, spare in zip(options, cycle(("fr", "es")), strict=False):
        language = spare if one["language"] == "auto" else str(one["language"])
        clips = bench.clips("speech", language) or bench.spoken()
        clips = [clip for clip in clips if clip.seconds < _LONGEST]
        used[language] = used.get(language, -1) + 1
        clip = clips[used[language] % len(clips)]
        wanted.append((pcm(clip.audio), transcript_pb2.SpeechOptions(**one)))  # type: ignore[arg-type]
    return wanted


def _samples(chunks: Sequence[bytes]) -> NDArray[np.float32]:
    return np.frombuffer(b"".join(chunks), "<i2").astype(np.float32) / 32_768


def _spoken(run: Played) -> _Text:
    return [
        (word.text, language, word.start, word.end) for word, language in zip(run.words, run.languages, strict=True)
    ]


def _said(made: Call) -> _Text:
    return [(final.text, final.language, final.start_ms, final.end_ms) for _, final in made.finals()]


def _words(made: Call) -> list[str]:
    return [word_key(word) for _, final in made.finals() for word in final.text.split()]
