"""The geometry of a report's charts: where lines, bars and marks lie, in per cent of the chart. Pure.

A chart has no size of its own: its width is that of the page, and text in it keeps the page's size. So everything is
placed in per cent, and lines are drawn in a box of 100 by 100 that is stretched over the chart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.report.document import Event, Moment, Report, Span

_TIME_STEPS_S: Final = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)
_MAX_TIME_TICKS: Final = 6
_MAX_VALUE_TICKS: Final = 4
_GAP_PERCENT: Final = 0.15
"""Stretches of speech that lie closer together are drawn as one: nobody could see the gap."""

_MARK_PERCENT: Final = 8.0
"""Marks of moments that lie closer together stand above one another."""

_MAX_DOTS: Final = 60


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: its place in per cent, and its value."""

    at: float
    value: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of time."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Dot:
    """A point."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """A measure over time: a path, its points, its axes, and the smallest and the largest value.

    `dots` are those points that are drawn: all of them if they are few, else those that no line reaches.
    """

    path: str
    dots: tuple[Dot, ...]
    times: tuple[Tick, ...]
    values: tuple[Tick, ...]
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A numbered moment; `level` 0 is the lowest line of marks."""

    number: int
    x: float
    level: int


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of the timeline. `type` is the type of its events, empty for the speech of a stream.

    `is_first`: it is the first row of its stream.
    """

    stream: int
    type: str
    service: str
    bars: tuple[Bar, ...]
    is_first: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """All rows, the marks of the moments and the axis. `levels`: how many lines the marks take."""

    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    levels: int
    times: tuple[Tick, ...]


def line(points: Sequence[tuple[int, float | None]], duration_ms: int, least_span: float) -> Line | None:
    """A measure at times in ms; the line is broken where it is None. None for fewer than two values.

    The axis spans at least `least_span`, so that small differences look small.
    """
    known = [value for _, value in points if value is not None]
    if len(known) < 2 or duration_ms <= 0:
        return None
    ticks = _value_ticks(min(known), max(known), least_span)
    bottom, top = ticks[0], ticks[-1]

    def place(at_ms: int, value: float) -> Dot:
        return Dot(_percent(at_ms, duration_ms), round(100 - 100 * (value - bottom) / (top - bottom), 2))

    runs = [[place(at_ms, value) for at_ms, value in run] for run in _runs(points)]
    path = "".join("M" + "L".join(f"{dot.x:g},{dot.y:g}" for dot in run) for run in runs if len(run) > 1)
    is_sparse = len(known) <= _MAX_DOTS
    return Line(
        path,
        tuple(dot for run in runs if is_sparse or len(run) == 1 for dot in run),
        time_ticks(duration_ms),
        tuple(Tick(round(100 - 100 * (value - bottom) / (top - bottom), 2), value) for value in ticks),
        min(known),
        max(known),
    )


def _runs(points: Iterable[tuple[int, float | None]]) -> Iterator[list[tuple[int, float]]]:
    """The points between two breaks."""
    run: list[tuple[int, float]] = []
    for at_ms, value in points:
        if value is not None:
            run.append((at_ms, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _value_ticks(low: float, high: float, least_span: float) -> list[float]:
    """Round values around all that is drawn: steps of 1, 2 or 5 times a power of ten."""
    middle, span = (low + high) / 2, max(high - low, least_span)
    rough = span / (_MAX_VALUE_TICKS - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(magnitude * factor for factor in (1, 2, 5, 10) if magnitude * factor >= rough)
    first = math.floor(min(low, middle - span / 2) / step)
    last = math.ceil(max(high, middle + span / 2) / step)
    return [step * number for number in range(first, last + 1)]


def time_ticks(duration_ms: int) -> tuple[Tick, ...]:
    """Round times from the beginning on, in ms; the last one may lie before the end."""
    steps_ms = (1000 * step for step in _TIME_STEPS_S)
    step_ms = next((step for step in steps_ms if duration_ms / step < _MAX_TIME_TICKS), duration_ms)
    return tuple(Tick(_percent(at_ms, duration_ms), at_ms) for at_ms in range(0, duration_ms + 1, max(1, step_ms)))


def timeline(report: Report) -> Timeline:
    """The timeline of a session: each stream's speech and each type of its events in a row of its own."""
    marks = tuple(_marks(report.moments, report.duration_ms))
    return Timeline(
        tuple(lane for stream in range(len(report.streams)) for lane in _lanes(report, stream)),
        marks,
        max((mark.level + 1 for mark in marks), default=0),
        time_ticks(report.duration_ms),
    )


def _lanes(report: Report, stream: int) -> Iterator[Lane]:
    for speaker in report.speakers:
        if speaker.stream == stream and speaker.speech:
            yield Lane(stream, "", "", tuple(_bars(speaker.speech, report.duration_ms)), is_first=True)
    speaks = any(speaker.stream == stream and speaker.speech for speaker in report.speakers)
    events: dict[tuple[str, str], list[Event]] = {}
    for event in report.events:
        if event.stream == stream:
            events.setdefault((event.service, event.type), []).append(event)
    for place, ((service, type_), found) in enumerate(sorted(events.items())):
        bars = tuple(_bars(map(_span, found), report.duration_ms, report.duration_ms))
        yield Lane(stream, type_, service, bars, is_first=not (speaks or place))


def _span(event: Event) -> Span:
    return Span(event.t0_ms, -1 if event.t1_ms is None else event.t1_ms)


def _bars(spans: Iterable[Span], duration_ms: int, open_end_ms: int = 0) -> Iterator[Bar]:
    """Bars of spans in order. A span whose end is negative lasts until `open_end_ms`."""
    start = end = -1.0
    for span in spans:
        x = _percent(span.t0_ms, duration_ms)
        x1 = _percent(open_end_ms if span.t1_ms < 0 else span.t1_ms, duration_ms)
        if start >= 0 and x - end < _GAP_PERCENT:
            end = max(end, x1)
            continue
        if start >= 0:
            yield Bar(start, round(end - start, 2))
        start, end = x, x1
    if start >= 0:
        yield Bar(start, round(end - start, 2))


def _marks(moments: Sequence[Moment], duration_ms: int) -> Iterator[Mark]:
    """A mark for each moment, in the lowest line in which it has room."""
    ends: list[float] = []
    for number, moment in enumerate(moments, start=1):
        x = min(98.0, max(2.0, _percent((moment.t0_ms + moment.t1_ms) // 2, duration_ms)))
        level = next((level for level, end in enumerate(ends) if x - end >= _MARK_PERCENT), len(ends))
        ends[level : level + 1] = [x]
        yield Mark(number, x, level)


def share(parts: Sequence[float]) -> tuple[Bar, ...]:
    """Fractions of 1 side by side."""
    bars, x = [], 0.0
    for part in parts:
        bars.append(Bar(round(100 * x, 2), round(100 * part, 2)))
        x += part
    return tuple(bars)


def _percent(at_ms: float, duration_ms: int) -> float:
    return round(min(100.0, max(0.0, 100 * at_ms / max(1, duration_ms))), 2)
