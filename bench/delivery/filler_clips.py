"""The labelled set for filled pauses: clips with sounds spliced in at known places, and clips left alone.

Speakers are divided: what a threshold was chosen on never judges it. Every choice is drawn from the clip's own name, so
that the set is the same in every run (without espeak-ng it lacks espeak-ng's sounds).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.corpus import SAMPLE_RATE, Clip
from bench.delivery import filler_sounds as sounds
from bench.delivery.filler_sounds import Audio, Sound
from bench.delivery.hearing import Heard
from bench.delivery.stretching import stretched
from workers.stt.words import word_key

TUNING_SPEAKERS = frozenset({"lj", "vctk_p225", "ls_1688", "lv_austen", "ast", "fleurs_de", "interview"})
"""The half of the speakers on which thresholds may be chosen. All others only judge."""

MOST_PER_SPEAKER = 8
_SECONDS_PER_SPOT = 3.0
_CROSS_FADE = int(0.012 * SAMPLE_RATE)
_FRAME = SAMPLE_RATE // 100
_EDGE = int(0.4 * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a sound was put, samples of the spliced clip; `where` is "pause" or "words"."""

    kind: str
    filler: bool
    where: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A clip and what was put into it."""

    clip: Clip
    spots: tuple[Spot, ...] = ()

    @property
    def tuning(self) -> bool:
        return speaker(self.clip.name) in TUNING_SPEAKERS


def speaker(name: str) -> str:
    """The speaker, or the collection where speakers are not named, by the clip's file name."""
    stem = name.rsplit("/", 1)[-1].split(".", 1)[0]
    found = re.match(r"(vctk_p\d+|ls_\d+|lv_[a-z]+|fleurs_[a-z]+|pv_[a-z]+|[a-z]+)", stem)
    return found.group(1) if found else stem


def chosen(clips: Sequence[Clip], *, longest: float = 40.0) -> list[Clip]:
    """At most eight clips of each speaker, none longer than `longest` seconds."""
    counts: dict[str, int] = {}
    kept = []
    for clip in clips:
        who = speaker(clip.name)
        if clip.seconds <= longest and counts.get(who, 0) < MOST_PER_SPEAKER:
            counts[who] = counts.get(who, 0) + 1
            kept.append(clip)
    return kept


def with_fillers(clip: Clip, words: Sequence[Heard]) -> Labelled:
    """Filled pauses at the clip's pauses and, in turns, between its words as the recogniser placed them."""
    return _spliced(clip, words, "fillers", _filler)


def with_decoys(clip: Clip, words: Sequence[Heard]) -> Labelled:
    """Drawn-out words, laughter and breath at such places: nothing that a finder should report."""
    return _spliced(clip, words, "decoys", _decoy)


def slowed(clip: Clip) -> Labelled:
    """The clip at 0.8 times its speed: every vowel lasts longer."""
    return Labelled(replace(clip, name=f"{clip.name}#slowed", audio=stretched(clip.audio, 1.25)))


def pauses(audio: Audio, shortest: float = 0.15) -> list[tuple[int, int]]:
    """Stretches of at least `shortest` seconds within the clip that are 25 dB softer than its loud parts, samples."""
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    level = 10 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + 1e-10)
    quiet = level < np.percentile(level, 90) - 25
    edges = np.flatnonzero(np.diff(np.concatenate(([0], quiet.astype(int), [0]))))
    return [
        (int(start) * _FRAME, int(end) * _FRAME)
        for start, end in zip(edges[::2], edges[1::2], strict=True)
        if end - start >= shortest * 100 and start > 0 and end < len(quiet)
    ]


Maker = Callable[[Clip, Sequence[Heard], np.random.Generator], Sound]


def _filler(clip: Clip, words: Sequence[Heard], rng: np.random.Generator) -> Sound:
    language = clip.language
    short = [
        word for word in words if word_key(word.text) in sounds.SCHWA_WORDS[language] and word.end > word.start + 1600
    ]
    if short and rng.random() < 0.4:
        word = short[int(rng.integers(len(short)))]
        return Sound("own voice", True, sounds.drawn_out(clip.audio[word.start : word.end], rng.uniform(0.2, 0.8)))
    if sounds.has_espeak() and rng.random() < 0.5:
        return Sound("espeak", True, sounds.spoken(str(rng.choice(sounds.SPOKEN_FILLERS[language])), language, rng))
    name = str(rng.choice(sounds.HUMMED[language]))
    woman = rng.random() < 0.5
    pitch = rng.uniform(165, 240) if woman else rng.uniform(85, 150)
    size = rng.uniform(1.1, 1.2) if woman else rng.uniform(0.95, 1.05)
    return Sound(f"hummed {name}", True, sounds.hummed(name, pitch, rng.uniform(0.2, 0.8), rng, size=size))


def _decoy(clip: Clip, words: Sequence[Heard], rng: np.random.Generator) -> Sound:
    del words
    kind = rng.choice(["word", "word", "laughter", "breath"] if sounds.has_espeak() else ["laughter", "breath"])
    match kind:
        case "word":
            return Sound(
                "word", False, sounds.spoken(str(rng.choice(sounds.SPOKEN_WORDS[clip.language])), clip.language, rng)
            )
        case "laughter":
            return Sound("laughter", False, sounds.laughter(rng.uniform(110, 230), rng))
        case _:
            return Sound("breath", False, sounds.breath(rng))


def _spliced(clip: Clip, words: Sequence[Heard], what: str, make: Maker) -> Labelled:
    rng = np.random.default_rng(zlib.crc32(f"{what}/{clip.name}".encode()))
    loud = float(np.sqrt(np.percentile(np.square(clip.audio), 90)))
    room = [((start + end) // 2, "pause") for start, end in pauses(clip.audio)]
    room += [(_softest(clip.audio, place), "words") for place in (word.end for word in words[:-1])]
    pieces: list[Audio] = []
    spots: list[Spot] = []
    taken = length = 0
    for place, where in _drawn(room, len(clip.audio), rng):
        sound = make(clip, words, rng)
        gap = _background(clip.audio, int(rng.uniform(0.05, 0.3) * SAMPLE_RATE), rng) if where == "pause" else None
        before = _joined(clip.audio[taken:place], gap, fade_in=taken > 0)
        level = loud * 10 ** (-rng.uniform(0, 8) / 20)
        pieces += [before, level * sound.audio, *([gap] if gap is not None else [])]
        start = length + len(before)
        spots.append(Spot(sound.kind, sound.filler, where, start, start + len(sound.audio)))
        length = start + len(sound.audio) + (len(gap) if gap is not None else 0)
        taken = place
    pieces.append(_joined(clip.audio[taken:], None, fade_in=taken > 0, fade_out=False))
    audio = np.clip(np.concatenate(pieces), -1, 1).astype(np.float32)
    return Labelled(replace(clip, name=f"{clip.name}#{what}", audio=audio), tuple(spots))


def _drawn(room: Sequence[tuple[int, str]], length: int, rng: np.random.Generator) -> list[tuple[int, str]]:
    """Places at least 1.5 s apart, pauses and boundaries in turns, one for about every four seconds."""
    wanted = max(1, round(length / SAMPLE_RATE / _SECONDS_PER_SPOT))
    free = [item for item in room if _EDGE < item[0] < length - _EDGE]
    rng.shuffle(free)
    kept: list[tuple[int, str]] = []
    kinds = ["pause", "words"]
    for number in range(2 * wanted):
        kind = kinds[number % 2]
        found = next(
            (i for i in free if i[1] == kind and all(abs(i[0] - k[0]) > 1.5 * SAMPLE_RATE for k in kept)), None
        )
        if found is not None and len(kept) < wanted:
            kept.append(found)
    return sorted(kept)


def _softest(audio: Audio, place: int) -> int:
    """The softest 10 ms within 60 ms of a place, where a cut is heard least."""
    first = max(0, place - 6 * _FRAME)
    near = audio[first : place + 6 * _FRAME]
    power = np.convolve(np.square(near, dtype=np.float64), np.ones(_FRAME), mode="valid")
    return first + int(power.argmin()) + _FRAME // 2 if len(power) else place


def _background(audio: Audio, count: int, rng: np.random.Generator) -> Audio:
    """Noise as loud as the softest tenth of the clip."""
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    floor = float(np.sqrt(np.percentile(np.mean(np.square(frames, dtype=np.float64), axis=1), 10)))
    return rng.normal(0, max(floor, 1e-5), count).astype(np.float32)


def _joined(piece: Audio, gap: Audio | None, *, fade_in: bool, fade_out: bool = True) -> Audio:
    """A piece with the edges faded at which it was cut, and a gap behind it."""
    faded = piece.copy()
    count = min(_CROSS_FADE, len(faded) // 2)
    ramp = np.linspace(0, 1, count, dtype=np.float32)
    if fade_in:
        faded[:count] *= ramp
    if fade_out and count:
        faded[-count:] *= ramp[::-1]
    return faded if gap is None else np.concatenate([faded, gap])
