"""The part `pace`: words and syllables a minute of clips made faster and slower by known factors, words by tiny.en."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.checks import Findings
from bench.corpus import SAMPLE_RATE, Clip
from bench.delivery.filler_clips import chosen
from bench.delivery.finding import Share
from bench.delivery.hearing import Heard, hear
from bench.delivery.listening import Sounded, sounded
from bench.delivery.sound import interval, spread
from bench.delivery.stretching import stretched
from bench.scoring import normalise
from bench.stt.bench import ENGLISH, Bench
from workers.delivery.pace import Pace, pace
from workers.delivery.words import SpokenWord
from workers.stt.vad import SileroVad

FACTORS = (0.9, 1.1, 1.25)
_MS = SAMPLE_RATE // 1000
_NEAR = 0.05
_RATES = ("words_per_minute", "syllables_per_minute", "articulation_rate")


def paces(bench: Bench) -> Findings:
    """English clips of 5 to 40 s, eight of a speaker: as they are, and at three other speeds of the same pitch."""
    found, vad = Findings(), SileroVad()
    clips = [clip for clip in chosen(bench.clips("speech", "en")) if clip.seconds > 5]
    plain = _paces(bench, clips, vad)
    _against_text(found, clips, plain, vad)
    for factor in FACTORS:
        made = [
            Clip(f"{clip.name} x{factor:g}", clip.kind, "en", stretched(clip.audio, 1 / factor), clip.text)
            for clip in clips
        ]
        _against_factor(found, factor, plain, _paces(bench, made, vad))
    return found


def _paces(bench: Bench, clips: Sequence[Clip], vad: SileroVad) -> list[Pace]:
    heard = hear(bench, ENGLISH, clips)
    return [_pace(words, sounded(clip.audio, vad)) for words, clip in zip(heard, clips, strict=True)]


def _pace(words: Sequence[Heard], sound: Sounded) -> Pace:
    spoken = [SpokenWord(word.text, word.start // _MS, word.end // _MS) for word in words]
    return pace(spoken, sound.pauses, "en")


def _against_factor(found: Findings, factor: float, plain: Sequence[Pace], made: Sequence[Pace]) -> None:
    """Every clip is its own truth: its pace times the factor."""
    figures: dict[str, dict[str, str]] = {}
    for rate in _RATES:
        pairs = [(getattr(one, rate), getattr(other, rate)) for one, other in zip(plain, made, strict=True)]
        known = np.array([pair for pair in pairs if None not in pair], dtype=float)
        if not len(known):
            figures[rate] = {"each clip": "not measured"}
            continue
        errors = 100 * (known[:, 1] / known[:, 0] / factor - 1)
        within = Share(int((np.abs(errors) <= 100 * _NEAR).sum()), len(errors))
        together = _together(known, factor)
        figures[rate] = {
            "each clip": f"{spread(errors, '%')}; within 5 %: {within}",
            "all clips together": f"{together:+.2f} {interval(known, lambda rows: _together(rows, factor))} %",
        }
        found.check(f"{rate} at {factor:g}, error of all clips together, %", abs(together), "<=", 5)
        found.check(f"{rate} at {factor:g}, clips within 5 %", within.value, ">=", 0.8)
    found.figures[f"{factor:g} times as fast"] = figures


def _together(rates: NDArray[np.float64], factor: float) -> float:
    """Error in percent of the mean rate of the second column against that of the first times the factor."""
    plain, made = rates.mean(axis=0)
    return float(100 * (made / plain / factor - 1))


def _against_text(found: Findings, clips: Sequence[Clip], plain: Sequence[Pace], vad: SileroVad) -> None:
    """Words of the reference text over the time from the first to the last speech."""
    errors = []
    for clip, one in zip(clips, plain, strict=True):
        stretches = sounded(clip.audio, vad).stretches
        if one.words_per_minute is None or not stretches:
            continue
        truth = len(normalise(clip.text, "en")) * 60_000 / (stretches[-1].t1_ms - stretches[0].t0_ms)
        errors.append(100 * (one.words_per_minute / truth - 1))
    if not errors:
        return
    values = np.array(errors)
    mean = f"{values.mean():+.2f} {interval(values[:, None], lambda rows: float(rows.mean()))} %"
    found.figures["words a minute against the reference text"] = {
        "each clip": spread(values, "%"),
        "mean": mean,
        "within 5 %": str(Share(int((np.abs(values) <= 100 * _NEAR).sum()), len(values))),
    }
    found.check("words a minute against the reference text, mean error, %", abs(float(values.mean())), "<=", 5)
