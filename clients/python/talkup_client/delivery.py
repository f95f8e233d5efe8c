"""How something was said, as frozen values with the names and units of docs/protocol.md, "Delivery".

Times in `*_ms` are milliseconds on the stream's media clock. None means that something could not be measured,
never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Measure:
    """A measured value; `confidence` 0 to 1."""

    value: float
    confidence: float


@dataclass(frozen=True, slots=True)
class DeliveryFrame:
    """One second. `pause_ms`: the pause that lasts at its end; 0: none; None: not measured."""

    t0_ms: int
    t1_ms: int
    speech_ratio: Measure | None
    loudness_lufs: Measure | None
    pitch_hz: Measure | None
    words_per_minute: Measure | None
    pause_ms: int | None


@dataclass(frozen=True, slots=True)
class DeliveryWindow:
    """A stretch of media, or the whole stream (`whole_session`)."""

    t0_ms: int
    t1_ms: int
    whole_session: bool
    words: int | None
    syllables: int | None
    words_per_minute: Measure | None
    syllables_per_minute: Measure | None
    articulation_rate: Measure | None
    speech_ratio: Measure | None
    pauses: int | None
    pauses_within_sentences: int | None
    pause_median_ms: Measure | None
    pause_longest_ms: Measure | None
    longest_monologue_ms: Measure | None
    repeated_words: Measure | None
    restarts: Measure | None
    filled_pauses: Measure | None
    loudness_lufs: Measure | None
    loudness_relative: Measure | None
    trailing_off_ratio: Measure | None
    pitch_hz: Measure | None
    pitch_range_semitones: Measure | None
    pitch_spread_semitones: Measure | None
    pitch_spread_relative: Measure | None


@dataclass(frozen=True, slots=True)
class PacePoint:
    """The pace of one window; `media_time_ms` is its middle."""

    media_time_ms: int
    words_per_minute: float


@dataclass(frozen=True, slots=True)
class PauseBucket:
    """How many pauses are at least `from_ms` and shorter than `to_ms`; None: any longer ones."""

    from_ms: int
    to_ms: int | None
    within_sentences: int
    between_sentences: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch to hear again, with the words around it."""

    type: str
    t0_ms: int
    t1_ms: int
    words: str


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """The whole stream, once, at its end."""

    whole: DeliveryWindow | None
    pace: tuple[PacePoint, ...]
    pauses: tuple[PauseBucket, ...]
    moments: tuple[Moment, ...]


@dataclass(frozen=True, slots=True)
class SpeechStretch:
    """A stretch in which the sound says that somebody speaks."""

    t0_ms: int
    t1_ms: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """The part of an `analysis_result` about delivery. `origin_unix_ms`: time 0 of the media clock, UNIX ms.

    `speech` comes with a window and with the summary: the stretches of speech that ended since the last one.
    """

    origin_unix_ms: int | None
    frame: DeliveryFrame | None
    window: DeliveryWindow | None
    summary: DeliverySummary | None
    speech: tuple[SpeechStretch, ...] | None = None


def read_delivery(data: Mapping[str, Any]) -> Delivery:
    """Read `data.delivery` of an `analysis_result`. Raises KeyError or TypeError for anything else."""
    return Delivery(
        data["origin_unix_ms"],
        _optional(data["frame"], lambda frame: _values(DeliveryFrame, frame)),
        _optional(data["window"], lambda window: _values(DeliveryWindow, window)),
        _optional(data["summary"], _summary),
        None if (speech := data.get("speech")) is None else tuple(_values(SpeechStretch, each) for each in speech),
    )


def _summary(data: Mapping[str, Any]) -> DeliverySummary:
    return DeliverySummary(
        _optional(data["whole"], lambda whole: _values(DeliveryWindow, whole)),
        tuple(_values(PacePoint, point) for point in data["pace"]),
        tuple(_values(PauseBucket, bucket) for bucket in data["pauses"]),
        tuple(_values(Moment, moment) for moment in data["moments"]),
    )


def _optional(value: Any, read: Callable[[Mapping[str, Any]], T]) -> T | None:  # noqa: ANN401 - JSON
    return None if value is None else read(value)


def _values(kind: Callable[..., T], data: Mapping[str, Any]) -> T:
    """Fields that a later version adds are ignored."""
    return kind(**{field.name: _value(data[field.name]) for field in fields(kind)})  # type: ignore[arg-type]


def _value(value: Any) -> Any:  # noqa: ANN401 - JSON
    return Measure(value["value"], value["confidence"]) if isinstance(value, Mapping) else value
