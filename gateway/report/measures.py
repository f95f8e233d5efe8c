"""Which measures a report holds, with their units, and their values of a whole stream. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.protocol.messages import DeliveryWindowData, MeasureData, WindowData
from gateway.report.document import Measure, Measures, Unit

SPEECH: Final[Mapping[str, Unit]] = {
    "words": "count",
    "syllables": "count",
    "words_per_minute": "words/min",
    "syllables_per_minute": "syllables/min",
    "articulation_rate": "syllables/min",
    "speech_ratio": "ratio",
    "longest_monologue_ms": "ms",
    "pauses": "count",
    "pauses_within_sentences": "count",
    "pause_median_ms": "ms",
    "pause_longest_ms": "ms",
    "repeated_words": "count",
    "restarts": "count",
    "filled_pauses": "count",
    "loudness_lufs": "LUFS",
    "loudness_relative": "LU",
    "trailing_off_ratio": "ratio",
    "pitch_hz": "Hz",
    "pitch_range_semitones": "semitones",
    "pitch_spread_semitones": "semitones",
    "pitch_spread_relative": "ratio",
}
"""Of a speaker, in the order in which they are shown."""

FACE: Final[Mapping[str, Unit]] = {
    "presence_ratio": "ratio",
    "facing_camera_ratio": "ratio",
    "smile_ratio": "ratio",
    "nods": "count",
    "blinks_per_minute": "1/min",
}
"""Of a face, in the order in which they are shown."""

_COUNTS: Final = ("words", "syllables", "pauses", "pauses_within_sentences")
_SUMMED: Final = frozenset({"repeated_words", "restarts", "filled_pauses", "nods"})
_LARGEST: Final = frozenset({"pause_longest_ms"})
# What windows of ten seconds do not tell of the whole.
_OF_THE_WHOLE: Final = frozenset(
    {
        *("pause_median_ms", "longest_monologue_ms", "pitch_range_semitones"),
        *("pitch_spread_semitones", "pitch_spread_relative"),
    }
)


def measure(data: MeasureData | None, unit: Unit) -> Measure | None:
    """A measure of the protocol with its unit; None stays None."""
    return None if data is None else Measure(data.value, unit, data.confidence)


@dataclass(frozen=True, slots=True)
class Heard:
    """The words recognised in a stream: how many, and their mean confidence."""

    words: int
    confidence: float


def of_whole_speech(whole: DeliveryWindowData, heard: Heard | None) -> Measures:
    """The measures of a speaker. `heard` is None if no words were recognised.

    Counts without a confidence of their own take that of what they were counted in: words, or the sound.
    """
    measures = {name: measure(getattr(whole, name), unit) for name, unit in SPEECH.items() if name not in _COUNTS}
    return _in_order(SPEECH, {**measures, **_counts([whole], heard)})


def of_speech_so_far(windows: Sequence[DeliveryWindowData], heard: Heard | None) -> Measures:
    """The same from the windows of a stream that has not ended: sums, means weighted by time, the longest pause."""
    measures = {name: _so_far(windows, name, unit) for name, unit in SPEECH.items() if name not in _COUNTS}
    return _in_order(SPEECH, {**measures, **_counts(windows, heard)})


def of_whole_sight(whole: WindowData) -> Measures:
    """The measures of a face."""
    return {name: measure(getattr(whole, name), unit) for name, unit in FACE.items()}


def of_sight_so_far(windows: Sequence[WindowData]) -> Measures:
    """The same from the windows of a stream that has not ended."""
    return {name: _so_far(windows, name, unit) for name, unit in FACE.items()}


def _counts(windows: Sequence[DeliveryWindowData], heard: Heard | None) -> Measures:
    """The plain counts. Words and syllables need recognised words, syllables a rule, pauses a measure of the sound.

    Without delivery only the words are known, from the transcript.
    """
    words, syllables = _sum(windows, "words"), _sum(windows, "syllables")
    if any(window.words and window.syllables is None for window in windows):
        syllables = None
    pauses, within = _sum(windows, "pauses"), _sum(windows, "pauses_within_sentences")
    sound = _so_far(windows, "speech_ratio", "ratio") if pauses is not None else None
    counts: Measures = dict.fromkeys(_COUNTS)
    if heard is not None:
        counts["words"] = Measure(heard.words if words is None else words, "count", heard.confidence)
    if heard is not None and syllables is not None:
        counts["syllables"] = Measure(syllables, "count", heard.confidence)
    if sound is not None and pauses is not None:
        counts["pauses"] = Measure(pauses, "count", sound.confidence)
    if sound is not None and within is not None and heard is not None:
        counts["pauses_within_sentences"] = Measure(within, "count", sound.confidence)
    return counts


def _sum(windows: Sequence[DeliveryWindowData], name: str) -> int | None:
    """A count over several windows; None if none has it."""
    counts = [count for window in windows if (count := getattr(window, name)) is not None]
    return sum(counts) if counts else None


def _so_far(windows: Sequence[DeliveryWindowData] | Sequence[WindowData], name: str, unit: Unit) -> Measure | None:
    """One measure over several windows; those without it do not count. None if none has it, or if they cannot tell."""
    found = [(window.t1_ms - window.t0_ms, value) for window in windows if (value := getattr(window, name)) is not None]
    length = sum(weight for weight, _ in found)
    if not length or (name in _OF_THE_WHOLE and len(windows) > 1):
        return None
    confidence = sum(weight * value.confidence for weight, value in found) / length
    if name in _SUMMED:
        return Measure(sum(value.value for _, value in found), unit, confidence)
    if name in _LARGEST:
        largest = max((value for _, value in found), key=lambda value: value.value)
        return Measure(largest.value, unit, largest.confidence)
    return Measure(sum(weight * value.value for weight, value in found) / length, unit, confidence)


def _in_order(names: Mapping[str, Unit], measures: Measures) -> Measures:
    return {name: measures[name] for name in names}
