"""Sums to messages: the measures of a second, of ten, and of the whole stream. Pure.

A measure's confidence says how much it rests on: 1 from the amount of material given here on, in proportion below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from talkup.v1 import analysis_pb2

from workers.delivery.baseline import Baseline
from workers.delivery.loudness import lufs
from workers.delivery.options import FILLED_PAUSES
from workers.delivery.pace import Speaking, rates
from workers.delivery.sums import Sums

HOP_MS: Final = 20
WINDOW_MS: Final = 10_000
_LEAST_VOICED: Final = 10
"""Hops with pitch, 0.2 s, for the median of a second."""
_ENOUGH_VOICED: Final = 100
_ENOUGH_SPREAD: Final = 400
"""Hops with pitch, 2 and 8 s, for its median and for range and spread."""
_ENOUGH_SPEECH: Final = 100
_LEAST_SPEECH: Final = 20
"""Hops of speech, 0.4 s, for its loudness."""
_ENOUGH_PAUSES: Final = 5
_ENOUGH_SENTENCES: Final = 5
_HEARD: Final = 0.9
"""Confidence of what the voice detector says."""
_REPEATS: Final = 0.5
"""Speech models leave out much of what is said again."""

_FILLED: Final = 0.5
"""docs/delivery.md says how many of them are found, and how often something else is."""
_OF_WORDS: Final = frozenset({"pace", "repeats", FILLED_PAUSES})

Measure = analysis_pb2.Measure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client asked for. `words`: whether final words come at all; without, what needs them is off."""

    signals: frozenset[str]
    words: bool = True

    def has(self, name: str) -> bool:
        """Whether a signal is on."""
        return name in self.signals and (self.words or name not in _OF_WORDS)


def window_message(
    sums: Sums, t0_ms: int, t1_ms: int, wanted: Wanted, baseline: Baseline
) -> analysis_pb2.DeliveryWindow:
    """The measures of a stretch from its sums."""
    window = analysis_pb2.DeliveryWindow(t0_ms=t0_ms, t1_ms=t1_ms)
    if wanted.words:
        window.words = sums.speaking.words
        if sums.speaking.syllables is not None:
            window.syllables = sums.speaking.syllables
    if sums.hops:
        _put(window.speech_ratio, sums.speech_hops / sums.hops, _HEARD)
    if wanted.has("pace"):
        _put_pace(window, sums.speaking)
    if wanted.has("pauses"):
        _put_pauses(window, sums, within=wanted.words)
    if wanted.has("repeats") and sums.speaking.words and sums.speaking.spaced:
        _put(window.repeated_words, sums.repeated, _REPEATS)
        _put(window.restarts, sums.restarts, _REPEATS)
    if wanted.has(FILLED_PAUSES) and sums.hops:
        _put(window.filled_pauses, sums.filled, _FILLED)
    if wanted.has("loudness"):
        _put_loudness(window, sums, baseline)
    if wanted.has("pitch"):
        _put_pitch(window, sums, baseline)
    return window


def frame_message(
    second: Sums, t0_ms: int, recent: Speaking, short_term_power: float | None, *, pause_ms: int, wanted: Wanted
) -> analysis_pb2.DeliveryFrame:
    """The measures of a second; `recent`: the words of the last ten, `short_term_power`: of the last three."""
    frame = analysis_pb2.DeliveryFrame(t0_ms=t0_ms, t1_ms=t0_ms + 1_000)
    if second.hops:
        _put(frame.speech_ratio, second.speech_hops / second.hops, _HEARD)
    level = lufs(short_term_power) if short_term_power is not None else None
    if wanted.has("loudness") and level is not None:
        _put(frame.loudness_lufs, level, 1.0)
    pitch = second.pitch.pitch(_LEAST_VOICED) if wanted.has("pitch") else None
    if pitch is not None:
        _put(frame.pitch_hz, pitch.median, pitch.confidence * min(1.0, second.pitch.hops / 25))
    pace = rates(recent)
    if wanted.has("pace") and pace.words_per_minute is not None:
        _put(frame.words_per_minute, pace.words_per_minute, pace.confidence)
    if wanted.has("pauses"):
        frame.pause_ms = pause_ms
    return frame


def _put_pace(window: analysis_pb2.DeliveryWindow, speaking: Speaking) -> None:
    pace = rates(speaking)
    if pace.words_per_minute is not None:
        _put(window.words_per_minute, pace.words_per_minute, pace.confidence)
    if pace.syllables_per_minute is not None:
        _put(window.syllables_per_minute, pace.syllables_per_minute, pace.confidence)
    if pace.articulation_rate is not None:
        _put(window.articulation_rate, pace.articulation_rate, pace.confidence)


def _put_pauses(window: analysis_pb2.DeliveryWindow, sums: Sums, *, within: bool) -> None:
    pauses = sums.pauses
    window.pauses = pauses.pauses
    if within:
        window.pauses_within_sentences = pauses.within
    if pauses.pauses:
        _put(window.pause_median_ms, pauses.median_ms, pauses.pauses / _ENOUGH_PAUSES)
        _put(window.pause_longest_ms, pauses.longest_ms, _HEARD)
    if sums.monologue_ms:
        _put(window.longest_monologue_ms, sums.monologue_ms, _HEARD)


def _put_loudness(window: analysis_pb2.DeliveryWindow, sums: Sums, baseline: Baseline) -> None:
    level = sums.loudness.lufs
    if level is not None and sums.loudness.hops >= _LEAST_SPEECH:
        trust = sums.loudness.hops / _ENOUGH_SPEECH
        _put(window.loudness_lufs, level, trust)
        if baseline.loudness_lufs is not None:
            _put(window.loudness_relative, level - baseline.loudness_lufs, trust)
    if sums.sentences:
        _put(window.trailing_off_ratio, sums.trailing / sums.sentences, sums.sentences / _ENOUGH_SENTENCES)


def _put_pitch(window: analysis_pb2.DeliveryWindow, sums: Sums, baseline: Baseline) -> None:
    pitch, hops = sums.pitch.pitch(), sums.pitch.hops
    if pitch is None:
        return
    _put(window.pitch_hz, pitch.median, pitch.confidence * min(1.0, hops / _ENOUGH_VOICED))
    trust = pitch.confidence * min(1.0, hops / _ENOUGH_SPREAD)
    if pitch.range is None or pitch.spread is None:
        return
    _put(window.pitch_range_semitones, pitch.range, trust)
    _put(window.pitch_spread_semitones, pitch.spread, trust)
    if baseline.pitch_spread:
        _put(window.pitch_spread_relative, pitch.spread / baseline.pitch_spread, trust)


def _put(measure: Measure, value: float, confidence: float) -> None:
    measure.value, measure.confidence = value, min(1.0, max(0.0, confidence))
