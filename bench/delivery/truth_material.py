"""Sound whose pauses, pitch, level and pace are known because it was made so, from real clips and by synthesis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.corpus import SAMPLE_RATE, Clip
from bench.delivery.filler_clips import speaker
from bench.delivery.filler_sounds import FORMANTS, voiced

Audio = NDArray[np.float32]
Gap = tuple[float, float]
"""Start and end, seconds."""

_STEP = SAMPLE_RATE // 100
_BELOW_PEAK_DB = 35.0
_ROOM = 1e-4
_SHORTEST_S, _LONGEST_S = 0.25, 3.0
_CLEAR_S = 0.4
_DOUBTFUL_S = 0.2
_SPEECH_DB = 25.0
_RUN = 5
_PARTS = 4
_CLEAN_DB = 40.0
_LEVEL = 0.05
_PEAK = 0.5
_VOICED_HZ = (60, 400)
_VOICED = 0.6
_VOICED_FRAME = SAMPLE_RATE // 25
_VOICED_STEPS = 3
_LONGEST_CONSONANT_S = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Paused:
    """Clips with silences of known lengths between them.

    `inserted`: those silences, from the end of speech to its beginning: a knock or a puff at the end of a clip is none
    (see `speech_of`). `own`: gaps of the clips themselves of 0.4 s and more, by level alone. `doubtful`:
    shorter ones, in which breath and reverberation may leave a pause or not; finding one is neither right nor wrong.
    """

    audio: Audio
    inserted: tuple[Gap, ...]
    own: tuple[Gap, ...]
    doubtful: tuple[Gap, ...]


def paused(clips: Sequence[Clip], rng: np.random.Generator) -> list[Paused]:
    """Up to four clips of one speaker, made equally loud, with a silence of 0.25 to 3 s between two.

    Twice as loud, the result does not clip.

    Clips with a background that is less than 40 dB below their loudest 10 ms are left out: level alone, by which the
    truth is made, does not tell there where their speech ends.
    """
    speakers: dict[str, list[Audio]] = {}
    for clip in clips:
        if is_clean(clip.audio):
            speakers.setdefault(speaker(clip.name), []).append(_trimmed(clip.audio))
    groups = [
        parts[first : first + _PARTS] for parts in speakers.values() for first in range(0, len(parts) - 1, _PARTS)
    ]
    return [_with_pauses(group, rng) for group in groups if len(group) > 1]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A clip whose speech begins and ends where `span` says, seconds, with silence around it."""

    clip: Clip
    span: Gap


def framed(clip: Clip, rng: np.random.Generator) -> Spoken:
    """A clip cut to its speech, with half a second of silence before it and a second behind it."""
    before, speech, after = _room(0.5, rng), _trimmed(clip.audio), _room(1.0, rng)
    begin, end = speech_of(speech)
    at = len(before) / SAMPLE_RATE
    audio = np.concatenate([before, speech, after])
    framed_clip = Clip(f"{clip.name} framed", clip.kind, clip.language, audio, clip.text)
    return Spoken(framed_clip, (at + begin, at + end))


def breathes(clip: Clip) -> bool:
    """Whether more than 0.3 s of a clip lie before its first or behind its last vowel: breath, longer than a consonant.

    Neither level nor voicing tells where it turns into one.
    """
    speech = _trimmed(clip.audio)
    begin, end = speech_of(speech)
    vowels = _vowels(speech)
    return not len(vowels) or vowels[0] - begin > _LONGEST_CONSONANT_S or end - vowels[-1] > _LONGEST_CONSONANT_S


def is_clean(audio: Audio) -> bool:
    """Whether the background is 40 dB below the loudest 10 ms: then level alone tells where speech ends."""
    level = levels(audio)
    return bool(np.percentile(level, 10) < level.max() - _CLEAN_DB)


def in_noise(audio: Audio, below_db: float, rng: np.random.Generator) -> Audio:
    """With white noise so far below the mean level."""
    level = float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) * 10 ** (-below_db / 20)
    return np.asarray(audio + rng.normal(0, level, len(audio)), np.float32)


def sung(base: float, seconds: float, rng: np.random.Generator) -> tuple[Audio, NDArray[np.float64]]:
    """Vowels along a moving pitch about `base` Hz, each with silence behind it; and F0 at each sample, 0 in silence."""
    pieces, truth = [], []
    for _ in range(round(seconds)):
        time = np.arange(round(0.8 * SAMPLE_RATE)) / SAMPLE_RATE
        moved = rng.uniform(-2, 2) + rng.uniform(1, 3) * np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * time)
        f0 = base * 2 ** (moved / 12)
        sound = voiced(f0, str(rng.choice(list(FORMANTS))), 1.15 if base > 160 else 1.0, rng)
        fade = np.minimum(1, np.minimum(np.arange(len(f0)), np.arange(len(f0))[::-1]) / 480)
        silence = np.zeros(round(0.2 * SAMPLE_RATE))
        pieces += [0.1 * fade * sound / np.sqrt(np.mean(np.square(sound))), silence]
        truth += [f0, silence]
    return np.concatenate(pieces).astype(np.float32), np.concatenate(truth)


def shifted(audio: Audio, semitones: float) -> Audio:
    """Played faster or slower, so that every frequency is that much higher or lower."""
    length = round(len(audio) / 2 ** (semitones / 12))
    return np.asarray(np.fft.irfft(np.fft.rfft(audio), length) * (length / len(audio)), np.float32)


def speech_span(audio: Audio) -> tuple[int, int]:
    """Where a clip's speech begins and ends, samples: 50 ms within 25 dB of its loudest 10 ms. No click, no breath."""
    level = levels(audio)
    loud = level >= level.max() - _SPEECH_DB
    runs = np.flatnonzero(np.convolve(loud, np.ones(_RUN), "valid") == _RUN)
    return int(runs[0]) * _STEP, (int(runs[-1]) + _RUN) * _STEP


def speech_of(audio: Audio) -> Gap:
    """Where the speech of a trimmed clip begins and ends, seconds: without what is no word at its two ends.

    Every word of the corpus has a vowel, and a vowel is loud and voiced. What stands apart from the rest by 0.2 s and
    more and has no 30 ms that are periodic and within 25 dB of the loudest 10 ms is a knock, a puff or a breath.
    """
    edges = [0.0, *(edge for gap in gaps(audio) for edge in gap), len(audio) / SAMPLE_RATE]
    sounds = list(zip(edges[::2], edges[1::2], strict=True))
    vowels = _vowels(audio)
    words = [(begin, end) for begin, end in sounds if ((vowels >= begin) & (vowels < end)).any()] or sounds
    return words[0][0], words[-1][1]


def _vowels(audio: Audio) -> NDArray[np.float64]:
    """Where loud frames of 40 ms are periodic, three in a row and more: their beginnings, seconds.

    They correlate with themselves, 2.5 to 17 ms later.
    """
    shortest, longest = SAMPLE_RATE // _VOICED_HZ[1], SAMPLE_RATE // _VOICED_HZ[0]
    softest = levels(audio).max() - _SPEECH_DB
    periodic = []
    for at in range(0, len(audio) - _VOICED_FRAME - longest, _STEP):
        frame = audio[at : at + _VOICED_FRAME].astype(np.float64)
        later = np.lib.stride_tricks.sliding_window_view(
            audio[at + shortest : at + longest + _VOICED_FRAME].astype(np.float64), _VOICED_FRAME
        )
        scale = np.sqrt(np.square(frame).sum() * np.square(later).sum(axis=1)) + 1e-12
        loud = 10 * np.log10(np.mean(np.square(frame)) + 1e-12) >= softest
        periodic.append(bool(loud) and float((later @ frame / scale).max()) >= _VOICED)
    runs = np.convolve(periodic, np.ones(_VOICED_STEPS), "valid") == _VOICED_STEPS
    return np.flatnonzero(runs) * (_STEP / SAMPLE_RATE)


def _with_pauses(parts: Sequence[Audio], rng: np.random.Generator) -> Paused:
    pieces: list[Audio] = [_room(0.5, rng)]
    inserted: list[Gap] = []
    own: list[Gap] = []
    doubtful: list[Gap] = []
    ended = 0.0
    for number, part in enumerate(parts):
        at = sum(map(len, pieces)) / SAMPLE_RATE
        first, last = speech_of(part)
        for start, end in gaps(part):
            if first < start and end < last:
                (own if end - start >= _CLEAR_S else doubtful).append((at + start, at + end))
        if number > 0:
            inserted.append((ended, at + first))
        ended = at + last
        pieces.append(part)
        if number < len(parts) - 1:
            pieces.append(_room(rng.uniform(_SHORTEST_S, _LONGEST_S), rng))
    pieces.append(_room(1.0, rng))
    audio = np.concatenate(pieces)
    audio *= np.float32(min(1.0, _PEAK / float(np.abs(audio).max())))
    return Paused(audio, tuple(inserted), tuple(own), tuple(doubtful))


def _trimmed(audio: Audio) -> Audio:
    begin, end = speech_span(audio)
    speech = audio[begin:end]
    return speech * np.float32(_LEVEL / np.sqrt(np.mean(np.square(speech, dtype=np.float64))))


def _room(seconds: float, rng: np.random.Generator) -> Audio:
    return rng.normal(0, _ROOM, round(seconds * SAMPLE_RATE)).astype(np.float32)


def gaps(audio: Audio) -> list[Gap]:
    """Stretches of 0.2 s and longer that are 35 dB softer than the loudest 10 ms."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], _loud(audio), [True]]).astype(np.int8)))
    gaps = [(begin / 100, end / 100) for begin, end in zip(edges[::2], edges[1::2], strict=True)]
    return [(float(begin), float(end)) for begin, end in gaps if end - begin >= _DOUBTFUL_S]


def levels(audio: Audio) -> NDArray[np.float64]:
    """Mean square of each 10 ms, dB."""
    steps = audio[: len(audio) // _STEP * _STEP].reshape(-1, _STEP).astype(np.float64)
    return np.asarray(10 * np.log10(np.mean(np.square(steps), axis=1) + 1e-12), dtype=np.float64)


def _loud(audio: Audio) -> NDArray[np.bool_]:
    """Which 10 ms are within 35 dB of the loudest, by the median of 50 ms: a click in a pause is not."""
    level = levels(audio)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(level, _RUN // 2, mode="edge"), _RUN)
    return np.asarray(np.median(around, axis=1) >= level.max() - _BELOW_PEAK_DB)
