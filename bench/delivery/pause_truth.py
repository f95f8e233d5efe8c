"""Speech whose pauses are known: clips without their own pauses, with pauses of known lengths put in their places."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.corpus import SAMPLE_RATE, Clip
from workers.delivery.pauses import SHORTEST_PAUSE_MS, Stretch
from workers.stt.vad import SileroVad, VadState

Floats = NDArray[np.float32]

LENGTHS_MS = (120, 170, 300, 400, 500, 700, 1_000, 1_500, 2_500)
"""Of what is put in; the first two are no pauses."""

EDGE_MS = 80
_PIECE = SAMPLE_RATE // 100
_LONGEST_KEPT = 12
_SHORTEST_SPEECH = SAMPLE_RATE // 4
_FADE = SAMPLE_RATE // 200
_DEPTHS_DB = (30, 26, 22)
_ABOVE_FLOOR_DB = 4


@dataclass(frozen=True, slots=True, eq=False)
class Paused:
    """A clip's speech with known pauses; `audio` has half a second of its background at both ends."""

    name: str
    audio: Floats
    pauses: tuple[Stretch, ...]


def paused(clip: Clip, vad: SileroVad) -> Paused | None:
    """None if the clip's background is too loud for a truth, or if no pause finds a place in it.

    What is 30 dB under the clip's loudest twentieth for 120 ms and longer is cut out (26 or 22 dB where the background
    is louder); pauses of background noise take its place.
    """
    rng = np.random.default_rng(zlib.crc32(clip.name.encode()))
    spoken, background = _speech(clip.audio, vad)
    parts: list[NDArray[np.float64]] = [rng.normal(0, background, SAMPLE_RATE // 2)]
    found: list[Stretch] = []
    position = len(parts[0])
    for number, (begin, end) in enumerate(spoken):
        if number:
            length = int(rng.choice(LENGTHS_MS)) * SAMPLE_RATE // 1000
            parts.append(rng.normal(0, background, length))
            if length * 1000 // SAMPLE_RATE >= SHORTEST_PAUSE_MS:
                found.append(Stretch(_ms(position), _ms(position + length)))
            position += length
        piece = clip.audio[begin:end].astype(np.float64)
        piece[:_FADE] *= np.linspace(0, 1, _FADE)
        piece[-_FADE:] *= np.linspace(1, 0, _FADE)
        parts.append(piece)
        position += len(piece)
    parts.append(rng.normal(0, background, SAMPLE_RATE // 2))
    return Paused(clip.name, np.concatenate(parts).astype(np.float32), tuple(found)) if found else None


def matched(truth: Sequence[Stretch], found: Sequence[Stretch]) -> list[tuple[Stretch, Stretch]]:
    """Pairs of a true pause and the first free one found that shares more than half of the longer of both."""
    free = list(found)
    pairs = []
    for pause in truth:
        for other in free:
            shared = min(pause.t1_ms, other.t1_ms) - max(pause.t0_ms, other.t0_ms)
            if shared > 0.5 * max(pause.ms, other.ms):
                pairs.append((pause, other))
                free.remove(other)
                break
    return pairs


def _speech(audio: Floats, vad: SileroVad) -> tuple[list[tuple[int, int]], float]:
    """The stretches of speech between the clip's own pauses, samples, and the background's root mean square."""
    count = len(audio) // _PIECE
    power = (audio[: count * _PIECE].reshape(count, _PIECE).astype(np.float64) ** 2).mean(axis=1)
    level = 10 * np.log10(np.convolve(power, np.full(3, 1 / 3), "same") + 1e-10)
    loud, floor = np.percentile(level, 95), np.percentile(level, 2)
    bound = next((loud - depth for depth in _DEPTHS_DB if loud - depth > floor + _ABOVE_FLOOR_DB), None)
    if bound is None:
        return [], 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], level >= bound, [False]]).astype(int)))
    runs = [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
    joined = runs[:1]
    for begin, end in runs[1:]:
        if begin - joined[-1][1] < _LONGEST_KEPT:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((begin, end))
    voices, _ = vad(audio[: len(audio) // 512 * 512], VadState.fresh())
    spoken = [
        (begin * _PIECE, end * _PIECE)
        for begin, end in joined
        if (end - begin) * _PIECE >= _SHORTEST_SPEECH
        and (voices[begin * _PIECE // 512 : end * _PIECE // 512 + 1] >= 0.5).sum() >= 3
    ]
    quiet = power[level < bound]
    background = float(np.sqrt(quiet.mean())) if len(quiet) > 5 else 1e-4
    return spoken, max(background, 1e-4)


def _ms(samples: int) -> int:
    return samples * 1000 // SAMPLE_RATE
