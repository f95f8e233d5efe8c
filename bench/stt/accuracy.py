"""Accuracy on a virtual clock: word error against the reference and offline, latency in media time, word times,
confidence, words in silence, and the order of messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from rapidfuzz.distance import Levenshtein

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip, joined
from bench.ratios import ratio
from bench.scoring import Errors, area_under_curve, matched, normalise, percentiles, total, word_errors
from bench.stt.bench import ENGLISH, MANY_LANGUAGES, Bench
from bench.stt.joins import join_errors
from bench.stt.offline import TimedWord
from bench.stt.replay import Played, replay
from workers.stt.decode_job import StreamOptions
from workers.stt.words import Word, word_key

_RESAMPLINGS = 1000
_SILENCE_SECONDS = 30
# Points of word error above offline; a part alone is too small for a bound of its own.
_BOUNDS = {("clips",): None, ("long",): None, ("joined",): 0.0, ("clips", "long"): 0.3}


def english(bench: Bench) -> Findings:
    """Clips, the long recording, and clips joined to unbroken speech, against offline on the same audio."""
    found = Findings()
    clips = bench.spoken()
    sets = {"clips": clips, "long": bench.clips("long-speech", "en"), "joined": joined(clips)}
    everything = [clip for part in sets.values() for clip in part]
    played = replay(bench.model(ENGLISH), everything, StreamOptions(language="en", interims=True))
    bench.say("offline reference")
    offline = bench.offline(ENGLISH)
    references = offline.texts(everything)
    kinds = {clip.name: name for name, part in sets.items() for clip in part}
    for names, bound in _BOUNDS.items():
        chosen = [index for index, run in enumerate(played) if kinds[run.clip.name] in names]
        if all(sets[name] for name in names):
            name = " and ".join(names)
            gap = _compare(found, name, [played[i] for i in chosen], [references[i] for i in chosen])
            if bound is not None:
                found.check(f"b. English word error above offline, {name}, points", gap, "<=", bound)
    gap = _compare(found, "all", played, references)
    found.check("b. English word error above offline, all, points", gap, "<=", 0.3)
    _latency(found, played, offline.words(everything))
    _order(found, played)
    _joins(found, played, references)
    _confidence(found, played)
    return found


def french(bench: Bench) -> Findings:
    """The multilingual model on French, with the language given (as for offline), and detected."""
    found = Findings()
    clips = [*bench.clips("speech", "fr"), *bench.clips("long-speech", "fr")]
    if clips:
        offline = bench.offline(MANY_LANGUAGES).texts(clips)
        played = replay(bench.model(MANY_LANGUAGES), clips, StreamOptions(language="fr", interims=False))
        gap = _compare(found, "french", played, offline)
        found.check("b. French (base) word error above offline, points", gap, "<=", 2.0)
        played = replay(bench.model(MANY_LANGUAGES), clips, StreamOptions(interims=False))
        _compare(found, "french_detected", played, offline)
    return found


def noisy(bench: Bench) -> Findings:
    """English with noise of several kinds; every clip counts as one stream."""
    found = Findings()
    clips = bench.clips("noisy-speech", "en")
    if clips:
        played = replay(bench.model(ENGLISH), clips, StreamOptions(language="en", interims=False))
        gap = _compare(found, "noisy", played, bench.offline(ENGLISH).texts(clips))
        found.check("b. noisy English word error above offline, points", gap, "<=", 3.0)
    return found


def silence(bench: Bench) -> Findings:
    """No words may appear where nobody speaks: before, between or instead of speech."""
    found = Findings()
    options = StreamOptions(language="en", interims=False)
    quiet = bench.clips("nonspeech") or _made_noise()
    words = sum(len(run.words) for run in replay(bench.model(ENGLISH), quiet, options))
    found.check("c. words on non-speech clips", words, "==", 0)
    chosen = bench.spoken()[:12]
    alone = replay(bench.model(ENGLISH), chosen, options)
    pairs = [_with_silence(first, second) for first, second in zip(chosen, chosen[1:] or chosen, strict=False)]
    together = replay(bench.model(ENGLISH), pairs, options)
    changed = inside = invented = 0
    for index, run in enumerate(together):
        apart = [*alone[index].words, *alone[min(index + 1, len(alone) - 1)].words]
        edits = Levenshtein.editops(_keys(apart), _keys(run.words))
        changed += len(edits)
        surplus = sum(edit.tag == "insert" for edit in edits) - sum(edit.tag == "delete" for edit in edits)
        invented += max(0, surplus)
        first = run.clip.parts[0][1]
        inside += sum(first + 1 < word.start / SAMPLE_RATE < first + _SILENCE_SECONDS - 1 for word in run.words)
    found.figures.update(pairs=len(pairs), changed_words=changed)
    found.check("c. words placed in 30 s of silence between speech", inside, "==", 0)
    found.check("c. words more than in the parts alone", invented, "==", 0)
    return found


def _compare(found: Findings, name: str, played: Sequence[Played], references: Sequence[str]) -> float:
    """Record the word error of both against the reference text; return the difference in points."""
    ours = [word_errors(run.clip.text, run.text, run.clip.language) for run in played]
    theirs = [word_errors(run.clip.text, text, run.clip.language) for run, text in zip(played, references, strict=True)]
    low, high = _interval(ours, theirs)
    gap = total(ours).percent - total(theirs).percent
    key = f"word_error_{name.replace(' ', '_')}"
    found.ratios[key] = ratio(total(ours).percent, total(theirs).percent, "offline faster-whisper, beam 5")
    found.figures[name] = {
        "words": total(ours).words,
        "streaming_percent": total(ours).percent,
        "offline_percent": total(theirs).percent,
        "difference": gap,
        "difference_95_percent": f"{low:+.2f} {high:+.2f}",
        "rejected": sum(run.counters.rejected for run in played),
        "empty_segments": sum(run.counters.empty_segments for run in played),
        "worst": _worst(played, ours, theirs),
    }
    return gap


def _worst(played: Sequence[Played], ours: Sequence[Errors], theirs: Sequence[Errors]) -> str:
    """The three clips on which streaming has the most errors beyond offline."""
    surplus = [(a.errors - b.errors, run.clip.name) for run, a, b in zip(played, ours, theirs, strict=True)]
    return ", ".join(f"{name} {errors:+d}" for errors, name in sorted(surplus, reverse=True)[:3])


def _interval(ours: Sequence[Errors], theirs: Sequence[Errors]) -> tuple[float, float]:
    """95 % bootstrap interval of the difference, clips drawn with replacement."""
    rng = np.random.default_rng(0)
    words = np.array([part.words for part in ours], dtype=float)
    surplus = np.array([a.errors - b.errors for a, b in zip(ours, theirs, strict=True)], dtype=float)
    drawn = rng.integers(0, len(words), (_RESAMPLINGS, len(words)))
    gaps = 100 * surplus[drawn].sum(axis=1) / np.maximum(1, words[drawn].sum(axis=1))
    low, high = np.percentile(gaps, (2.5, 97.5))
    return float(low), float(high)


def _latency(found: Findings, played: Sequence[Played], aligned: Sequence[list[TimedWord]]) -> None:
    """Media latency, from the end of a word by offline alignment to its commit; and errors of word times."""
    late: list[float] = []
    starts: list[float] = []
    ends: list[float] = []
    for run, truth in zip(played, aligned, strict=True):
        for left, right in matched([word_key(word.text) for word in truth], _keys(run.words)):
            word, known = run.words[right], truth[left]
            late.append(run.committed_at[right] - known.end)
            starts.append(abs(word.start / SAMPLE_RATE - known.start))
            ends.append(abs(word.end / SAMPLE_RATE - known.end))
    median, p95 = percentiles(late, 50, 95)
    found.figures["media_latency"] = {"p50": median, "p95": p95}
    found.check("a. commit latency in media time p50, s", median, "<=", 1.2)
    found.check("a. commit latency in media time p95, s", p95, "<=", 2.6)
    found.check("d. word start error, median, s", percentiles(starts, 50)[0], "<=", 0.2)
    found.check("d. word end error, median, s", percentiles(ends, 50)[0], "<=", 0.2)


def _order(found: Findings, played: Sequence[Played]) -> None:
    found.check("d. retractions of final text", sum(run.retractions for run in played), "==", 0)
    found.check("d. segment ids or revisions that do not increase", sum(run.out_of_order for run in played), "==", 0)
    backwards = 0
    for run in played:
        times = [time for word in run.words for time in (word.start, word.end)]
        backwards += sum(after < before for before, after in pairwise(times))
    found.check("d. word times that go back", backwards, "==", 0)


def _joins(found: Findings, played: Sequence[Played], references: Sequence[str]) -> None:
    """What the places cost at which windows are cut."""
    joins = join_errors(played, references)
    found.figures["joins"] = joins.figures()
    found.check("b. words lost per window join", joins.lost_per_join, "<=", 1 / 60)
    found.check("b. errors per window join, beyond those elsewhere", joins.excess_per_join, "<=", 1 / 60)


def _confidence(found: Findings, played: Sequence[Played]) -> None:
    """Whether right words have higher probabilities than wrong ones. A word is right if all its tokens are in place."""
    scores: list[float] = []
    right: list[bool] = []
    for run in played:
        tokens: list[str] = []
        owners: list[int] = []
        for index, word in enumerate(run.words):
            parts = normalise(word.text, run.clip.language)
            tokens += parts
            owners += [index] * len(parts)
        good = {place for _, place in matched(normalise(run.clip.text, run.clip.language), tokens)}
        wrong = {owner for place, owner in enumerate(owners) if place not in good}
        for index in sorted(set(owners)):
            scores.append(run.words[index].probability)
            right.append(index not in wrong)
    found.figures["confidence"] = {"distinct": len({round(score, 4) for score in scores}), "words": len(scores)}
    found.check("d. area under the curve of word confidence", area_under_curve(scores, right), ">=", 0.78)


def _keys(words: Sequence[Word]) -> list[str]:
    return [word.key for word in words]


def _with_silence(first: Clip, second: Clip) -> Clip:
    gap = np.zeros(_SILENCE_SECONDS * SAMPLE_RATE, np.float32)
    audio = np.concatenate([first.audio, gap, second.audio])
    return replace(first, audio=audio, text=f"{first.text} {second.text}", parts=((second.name, first.seconds),))


def _made_noise() -> list[Clip]:
    """Silence and hiss, for a corpus without non-speech clips."""
    rng = np.random.default_rng(0)
    hiss = rng.normal(0, 1, 20 * SAMPLE_RATE).astype(np.float32)
    return [Clip(f"hiss {level}", "nonspeech", "en", hiss * np.float32(level), "") for level in (0, 0.003, 0.02)]
