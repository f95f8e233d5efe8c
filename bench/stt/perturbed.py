"""Accuracy on copies of clips that differ little from them: a decoder that is right about a clip by luck is wrong about
some of its copies. Each copy goes through the recogniser and through offline on the same audio.

A window's audio ends somewhere in a word, and where decides what the decoder makes of it. So every clip is cut by
100 ms more and more, at its beginning and at its end: the steps fall on other places in its words each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.ratios import ratio
from bench.scoring import Errors, matched, normalise, total, word_errors
from bench.stt.bench import ENGLISH, Bench
from bench.stt.joins import join_errors
from bench.stt.offline import Offline, TimedWord
from bench.stt.replay import Played, replay
from workers.stt.decode_job import StreamOptions

CLIPS = 20
"""Clips of the corpus that are copied, taken evenly from all of them."""

_CUTS = [round(0.1 * tenths, 1) for tenths in range(1, 16)]
"""Seconds taken away at a time: one step's length, in tenths."""
_GROUP = 2
_SHORTEST = 2.5
"""Seconds a clip must last, so that something is left of it."""
_SPEEDS = (0.9, 1.1)
_GAINS_DB = (-20.0, 6.0)
_NOISE_BELOW_DB = 20.0
_LOST = 3

Samples = NDArray[np.float32]


def perturbed(bench: Bench) -> Findings:
    """Word errors of the copies, streaming and offline, by kind; copies that lose words; words lost at joins.

    When the time is over, no further clips are copied: the figures say how many were.
    """
    found = Findings()
    spoken = [clip for clip in bench.spoken() if clip.seconds >= _SHORTEST]
    chosen = spoken[:: max(1, len(spoken) // CLIPS)][:CLIPS]
    offline = bench.offline(ENGLISH)
    played: list[Played] = []
    texts: list[str] = []
    clips = 0
    for first in range(0, len(chosen), _GROUP):
        if played and bench.left < 0:
            break
        group = chosen[first : first + _GROUP]
        made = [copy for clip in group for copy in copies(clip, offline)]
        bench.say(f"{len(made)} copies of {len(group)} clips, {sum(c.seconds for c in made) / 60:.0f} minutes")
        played += replay(bench.model(ENGLISH), made, StreamOptions(language="en", interims=False))
        texts += offline.texts(made)
        clips += len(group)
    found.figures.update(clips=clips, copies=len(played))
    _errors(found, played, texts)
    losing = [run.clip.name for run, text in zip(played, texts, strict=True) if longest_loss(run, text) > _LOST]
    found.figures["copies_that_lose_words"] = ", ".join(losing)
    found.check(f"b. copies that lose more than {_LOST} words that offline hears", len(losing), "==", 0)
    joins = join_errors(played, texts)
    found.figures["joins"] = joins.figures()
    found.check("b. words lost per window join of the copies", joins.lost_per_join, "<=", 1 / 60)
    found.check("b. errors per window join of the copies, beyond those elsewhere", joins.excess_per_join, "<=", 1 / 60)
    found.check("d. retractions of final text in the copies", sum(run.retractions for run in played), "==", 0)
    return found


def copies(clip: Clip, offline: Offline) -> Iterator[Clip]:
    """The clip faster, slower, softer, louder, in noise, and cut at either end; the text of a cut one is cut, too."""
    for speed in _SPEEDS:
        yield _copy(clip, f"speed {speed}", _at_speed(clip.audio, speed))
    for gain in _GAINS_DB:
        louder = np.clip(clip.audio * np.float32(10 ** (gain / 20)), -1, 1)
        yield _copy(clip, f"gain {gain:+.0f} dB", louder)
    yield _copy(clip, "noise", _in_noise(clip.audio))
    [words] = offline.words([clip])
    for seconds in _CUTS:
        count = round(seconds * SAMPLE_RATE)
        if clip.seconds - seconds < 1:
            break
        yield _copy(clip, f"start {seconds}", clip.audio[count:], _text_between(clip, words, seconds, clip.seconds))
        yield _copy(clip, f"end {seconds}", clip.audio[:-count], _text_between(clip, words, 0, clip.seconds - seconds))


def _copy(clip: Clip, how: str, audio: Samples, text: str | None = None) -> Clip:
    name, text = f"{clip.name} {how}", clip.text if text is None else text
    return replace(clip, name=name, kind=how.split(maxsplit=1)[0], audio=np.ascontiguousarray(audio), text=text)


def _at_speed(audio: Samples, speed: float) -> Samples:
    """Played faster or slower, as a tape is: the pitch changes, too."""
    length = round(len(audio) / speed)
    return np.asarray(np.fft.irfft(np.fft.rfft(audio), length) * (length / len(audio)), np.float32)


def _in_noise(audio: Samples) -> Samples:
    """With white noise 20 dB below the clip's mean level."""
    level = float(np.sqrt(np.mean(audio**2))) * 10 ** (-_NOISE_BELOW_DB / 20)
    noise = np.random.default_rng(0).normal(0, level, len(audio))
    return np.asarray(audio + noise, np.float32)


def _text_between(clip: Clip, words: Sequence[TimedWord], start: float, end: float) -> str:
    """The reference without the words that offline places outside of what is left, each word whole or not at all."""
    wanted = normalise(clip.text, clip.language)
    tokens = [(token, word) for word in words for token in normalise(word.text, clip.language)]
    left = [
        place
        for place, heard in matched(wanted, [token for token, _ in tokens])
        if start <= tokens[heard][1].start + 0.05 and tokens[heard][1].end - 0.05 <= end
    ]
    if not left:
        return ""
    first = 0 if start == 0 else left[0]
    last = len(wanted) - 1 if end == clip.seconds else left[-1]
    return " ".join(wanted[first : last + 1])


def _errors(found: Findings, played: Sequence[Played], texts: Sequence[str]) -> None:
    """Word errors of both by kind of copy, and of all together."""
    kinds: dict[str, list[tuple[Errors, Errors]]] = defaultdict(list)
    for run, text in zip(played, texts, strict=True):
        clip = run.clip
        pair = word_errors(clip.text, run.text, clip.language), word_errors(clip.text, text, clip.language)
        kinds[clip.kind].append(pair)
        kinds["all"].append(pair)
    for kind, pairs in kinds.items():
        ours, theirs = total(pair[0] for pair in pairs), total(pair[1] for pair in pairs)
        found.figures[kind] = {
            "words": ours.words,
            "streaming_percent": ours.percent,
            "offline_percent": theirs.percent,
            "difference": ours.percent - theirs.percent,
        }
    everything = found.figures["all"]
    found.ratios["word_error"] = ratio(
        everything["streaming_percent"], everything["offline_percent"], "offline faster-whisper, beam 5"
    )
    found.check("b. word error of the copies above offline, points", found.figures["all"]["difference"], "<=", 0.3)


def longest_loss(run: Played, text: str) -> int:
    """The longest run of words that offline hears, and rightly, where streaming has none in their place."""
    language = run.clip.language
    heard, wanted = normalise(text, language), normalise(run.clip.text, language)
    right = {place for _, place in matched(wanted, heard)}
    longest = current = 0
    before = -2
    for edit in Levenshtein.editops(heard, normalise(run.text, language)):
        if edit.tag == "insert" or edit.src_pos not in right:
            continue
        current = current + 1 if edit.src_pos == before + 1 else 1
        before = edit.src_pos
        longest = max(longest, current)
    return longest
