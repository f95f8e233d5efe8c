"""What is stored of one stream's analyses, decoded and in order. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from gateway.analyses import StoredAnalysis
from gateway.protocol.messages import (
    AnalysisData,
    DeliveryData,
    DeliverySummaryData,
    DeliveryWindowData,
    EventData,
    WindowData,
)

W = TypeVar("W", DeliveryWindowData, WindowData)

_TELLS_WHAT_IT_COUNTED: Final = 2

_decoder = msgspec.json.Decoder(AnalysisData)


class UnreadableAnalysisError(Exception):
    """A stored analysis is not what the gateway writes. The message names its key and no content."""


@dataclass(slots=True)
class Collected:
    """The analyses of one stream, in the order of their times; times on the stream's media clock.

    `origin_unix_ms` is time 0 of that clock, None if no analysis says it. What is stored has no order, and some of it
    may be there twice: of two events of one type that begin at the same time, the one with an end holds, and of two
    windows that begin at the same time, one. `speech`: the stretches in which the sound says that somebody speaks.
    """

    services: set[str] = field(default_factory=set)
    origin_unix_ms: int | None = None
    windows: list[DeliveryWindowData] = field(default_factory=list)
    summary: DeliverySummaryData | None = None
    speech: set[tuple[int, int]] = field(default_factory=set)
    sights: list[WindowData] = field(default_factory=list)
    whole_sight: WindowData | None = None
    events: dict[tuple[str, str, int], EventData] = field(default_factory=dict)

    @property
    def reach_ms(self) -> int:
        """How far the analyses reach."""
        ends = [window.t1_ms for window in self.windows]
        ends += [sight.t1_ms for sight in self.sights]
        if self.summary is not None and self.summary.whole is not None:
            ends.append(self.summary.whole.t1_ms)
        if self.whole_sight is not None:
            ends.append(self.whole_sight.t1_ms)
        ends += [event.t0_ms if event.t1_ms is None else event.t1_ms for event in self.events.values()]
        return max(ends, default=0)


def collect(stored: Iterable[StoredAnalysis]) -> Collected:
    """Decode the analyses of one stream. Raises UnreadableAnalysisError."""
    found = Collected()
    captured: list[int] = []
    for each in stored:
        try:
            data = _decoder.decode(each.data)
        except msgspec.DecodeError:
            raise UnreadableAnalysisError(f"the analysis {each.key} cannot be read") from None
        found.services.add(data.service_type)
        if isinstance(data.delivery, DeliveryData):
            _add_delivery(found, data.delivery, data.schema_version)
        if data.window is not None:
            _add_sight(found, data.window)
        if data.service_type == "vision" and data.captured_at is not None:
            captured.append(data.captured_at - data.media_time_ms)
        for event in data.events:
            _add_event(found.events, (data.service_type, event.type, event.t0_ms), event)
    if found.origin_unix_ms is None and captured:
        found.origin_unix_ms = round(statistics.median(captured))
    found.windows = _in_order(found.windows)
    found.sights = _in_order(found.sights)
    return found


def _add_event(events: dict[tuple[str, str, int], EventData], key: tuple[str, str, int], event: EventData) -> None:
    known = events.get(key)
    if known is None or known.t1_ms is None:
        events[key] = event


def _in_order(windows: Iterable[W]) -> list[W]:
    by_time = {window.t0_ms: window for window in windows}
    return [by_time[t0_ms] for t0_ms in sorted(by_time)]


def _add_delivery(found: Collected, delivery: DeliveryData, version: int) -> None:
    if delivery.origin_unix_ms is not None:
        found.origin_unix_ms = delivery.origin_unix_ms
    if delivery.window is not None and not delivery.window.whole_session:
        found.windows.append(_counted(delivery.window, version))
    if delivery.summary is not None:
        found.summary = delivery.summary
        if found.summary.whole is not None:
            found.summary = replace(found.summary, whole=_counted(found.summary.whole, version))
    if delivery.speech is not UNSET:
        found.speech.update((each.t0_ms, each.t1_ms) for each in delivery.speech)


def _counted(window: DeliveryWindowData, version: int) -> DeliveryWindowData:
    """A window whose counts are None if they were not measured: in windows of version 1 they are 0 then, too."""
    if version >= _TELLS_WHAT_IT_COUNTED:
        return window
    if not window.syllables:
        window = replace(window, syllables=None)
    paused = window.pauses or window.pause_longest_ms is not None or window.longest_monologue_ms is not None
    return window if paused else replace(window, pauses=None, pauses_within_sentences=None)


def _add_sight(found: Collected, window: WindowData) -> None:
    if window.whole_session:
        found.whole_sight = window
    else:
        found.sights.append(window)
