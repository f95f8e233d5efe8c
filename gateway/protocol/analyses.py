"""Which parts of an `analysis_result` outlive its stream: windows, events and summaries, each under its own key."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from gateway.analyses import StoredAnalysis
from gateway.protocol import messages as m
from gateway.protocol.actions import Action, SendMessage, StoreAnalyses, StoreSegment, StoreSnapshot
from gateway.protocol.snapshot import StreamSnapshot

_OF_DELIVERY: Final = "delivery/"


def with_writes(actions: Sequence[Action], stream_id: str, snapshot: StreamSnapshot | None) -> list[Action]:
    """The actions for one result, with the writes that belong to it.

    A snapshot and what lasts of the messages are stored in the same write as the final among the actions; without a
    final, in a write of their own. All writes come before the messages.
    """
    analyses = _kept_of(actions)
    if snapshot is None:
        return [StoreAnalyses(stream_id, analyses), *actions] if analyses else [*actions]
    for index, action in enumerate(actions):
        if isinstance(action, StoreSegment):
            store = dataclasses.replace(action, snapshot=snapshot, analyses=analyses)
            return [*actions[:index], store, *actions[index + 1 :]]
    return [StoreSnapshot(snapshot, analyses), *actions]


def _kept_of(actions: Iterable[Action]) -> tuple[StoredAnalysis, ...]:
    results = [
        action.message
        for action in actions
        if isinstance(action, SendMessage) and isinstance(action.message, m.AnalysisResult)
    ]
    return tuple(part for result in results for part in kept_parts(result)) if results else ()


def kept_parts(message: m.AnalysisResult) -> Iterator[StoredAnalysis]:
    """The parts of one result that are kept; a frame is not."""
    data, service = message.data, message.data.service_type
    bare = replace(data, frame=None, window=None, events=[])
    if data.delivery is not UNSET:
        bare = replace(bare, delivery=replace(data.delivery, frame=None, window=None, summary=None, speech=UNSET))
        if data.delivery.window is not None:
            alone = replace(data.delivery, frame=None, summary=None)
            yield _kept(_window_key(service, data.delivery.window), replace(bare, delivery=alone))
        if data.delivery.summary is not None:
            alone = replace(data.delivery, frame=None, window=None)
            yield _kept(f"{service}/summary", replace(bare, delivery=alone))
    elif data.window is not None:
        yield _kept(_window_key(service, data.window), replace(bare, window=data.window))
    for event in data.events:
        yield _kept(event_key(service, event), replace(bare, events=[event]))


def event_key(service: m.Service, event: m.EventData) -> str:
    """The key of an event; its end replaces its beginning."""
    return f"{service}/event/{event.type}/{event.t0_ms}"


def key_of_part(message: m.AnalysisResult) -> str | None:
    """The key of the window or summary in a result about delivery; None: it has neither."""
    delivery = message.data.delivery
    if delivery is UNSET:
        return None
    if delivery.summary is not None:
        return f"{_OF_DELIVERY}summary"
    return None if delivery.window is None else _window_key("delivery", delivery.window)


def delivery_results(kept: Iterable[StoredAnalysis]) -> list[m.AnalysisResult]:
    """The results about delivery that these parts come from, without their frames, in order of `frame_seq`.

    A part that cannot be read is left out: a client lacks it, and its stream continues.
    """
    found: dict[int, m.AnalysisData] = {}
    for part in kept:
        if not part.key.startswith(_OF_DELIVERY):
            continue
        try:
            data = msgspec.json.decode(part.data, type=m.AnalysisData)
        except msgspec.DecodeError:
            continue
        before = found.get(data.frame_seq)
        found[data.frame_seq] = data if before is None else _together(before, data)
    return [m.AnalysisResult(stream_id=data.stream_id, data=data) for _, data in sorted(found.items())]


def _window_key(service: m.Service, window: m.WindowData | m.DeliveryWindowData) -> str:
    return f"{service}/summary" if window.whole_session else f"{service}/window/{window.t0_ms}"


def _kept(key: str, data: m.AnalysisData) -> StoredAnalysis:
    return StoredAnalysis(key, msgspec.json.encode(data))


def _together(one: m.AnalysisData, other: m.AnalysisData) -> m.AnalysisData:
    """Two parts of one result about delivery."""
    assert one.delivery is not UNSET
    assert other.delivery is not UNSET
    delivery = replace(
        one.delivery,
        window=one.delivery.window or other.delivery.window,
        summary=one.delivery.summary or other.delivery.summary,
        speech=other.delivery.speech if one.delivery.speech is UNSET else one.delivery.speech,
    )
    return replace(one, delivery=delivery, events=[*one.events, *other.events])
