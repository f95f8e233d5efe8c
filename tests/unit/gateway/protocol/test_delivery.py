"""How something was said, on its way to a client: translated, numbered, stored, and never missed."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from talkup.v1 import analysis_pb2, task_pb2

from gateway.analyses import StoredAnalysis
from gateway.protocol.actions import Action, StoreAnalyses, StoreSegment, StoreSnapshot
from gateway.protocol.session import Session
from gateway.protocol.snapshot import RestoredStream, StreamSnapshot, decode_snapshot
from tests.unit.gateway.protocol.helpers import STT, T0, VISION, final, key, open_session, sent, text

DELIVERY = task_pb2.SERVICE_TYPE_DELIVERY
ORIGIN = 1_739_592_000_000


def measure(value: float, confidence: float = 1.0) -> analysis_pb2.Measure:
    return analysis_pb2.Measure(value=value, confidence=confidence)


def said(media_time_ms: int, *events: analysis_pb2.VisionEvent, **parts: Any) -> analysis_pb2.Analysis:
    delivery = analysis_pb2.Delivery(**{"origin_unix_ms": ORIGIN, **parts})
    return analysis_pb2.Analysis(
        schema_version=1, frame_seq=99, media_time_ms=media_time_ms, events=events, delivery=delivery
    )


def frame(second: int) -> analysis_pb2.Analysis:
    t0, t1 = 1000 * second, 1000 * (second + 1)
    return said(t1, frame=analysis_pb2.DeliveryFrame(t0_ms=t0, t1_ms=t1, pause_ms=7, pitch_hz=measure(120)))


def window(number: int) -> analysis_pb2.Analysis:
    t0, t1 = 10_000 * number, 10_000 * (number + 1)
    return said(t1, window=analysis_pb2.DeliveryWindow(t0_ms=t0, t1_ms=t1, words=number))


def event(type_: str, t0_ms: int, t1_ms: int | None = None) -> analysis_pb2.VisionEvent:
    return analysis_pb2.VisionEvent(type=type_, t0_ms=t0_ms, t1_ms=t1_ms, confidence=0.5)


def covering(*delivery: analysis_pb2.Analysis, segment: int | None = None, replay_from: int = 1) -> task_pb2.TaskResult:
    """A result with a progress and the delivery that it covers; `segment`: and a final."""
    result = task_pb2.TaskResult() if segment is None else final(segment, "word")
    result.progress.CopyFrom(task_pb2.Progress(replay_from_sequence=replay_from))
    result.delivery.extend(delivery)
    return result


def begin(services: tuple[str, ...] = ("stt", "delivery"), **more: Any) -> Session:
    session = open_session()
    start = {"type": "stream_start", "stream_id": "a", "format": "audio/pcm", "sample_rate": 16_000}
    text(session, T0, **start, services=list(services), **more)
    return session


def results(actions: list[Action]) -> list[dict[str, Any]]:
    return [message["data"] for message in sent(actions, "analysis_result")]


def stored(actions: list[Action]) -> list[tuple[str, str]]:
    """The writes in order: the kind, and the keys of the analyses in it."""
    return [
        (type(each).__name__, " ".join(analysis.key for analysis in each.analyses))
        for each in actions
        if isinstance(each, StoreSegment | StoreSnapshot | StoreAnalyses)
    ]


def test_every_measure_reaches_the_client_under_its_name() -> None:
    """Names and order are those of the contract; what was not measured is null."""
    names = [field.name for field in analysis_pb2.DeliveryWindow.DESCRIPTOR.fields]
    whole = analysis_pb2.DeliveryWindow(t0_ms=1, t1_ms=2, whole_session=True, words=3, syllables=4, pauses=5)
    measured = [n for n in names if analysis_pb2.DeliveryWindow.DESCRIPTOR.fields_by_name[n].message_type is not None]
    for place, name in enumerate(measured):
        getattr(whole, name).CopyFrom(measure(place / 8, 0.25))
    session = begin()
    (data,) = results(session.receive_result(key(), covering(said(2, window=whole)), T0))
    shown = data["delivery"]["window"]
    assert list(shown) == names
    assert [shown[name] for name in measured] == [{"value": i / 8, "confidence": 0.25} for i in range(len(measured))]
    assert [shown[name] for name in ("t0_ms", "t1_ms", "whole_session", "words", "syllables", "pauses")] == [
        *(1, 2, True),
        *(3, 4, 5),
    ]
    (empty,) = results(session.receive_result(key(), covering(window(1)), T0))
    assert {empty["delivery"]["window"][name] for name in measured} == {None}
    assert (empty["frame"], empty["window"], empty["delivery"]["frame"]) == (None, None, None)


def test_a_frame_and_a_summary() -> None:
    summary = analysis_pb2.DeliverySummary(
        whole=analysis_pb2.DeliveryWindow(whole_session=True),
        pace=[analysis_pb2.PacePoint(media_time_ms=5000, words_per_minute=133.25)],
        pauses=[
            analysis_pb2.PauseBucket(from_ms=250, to_ms=500, within_sentences=1),
            analysis_pb2.PauseBucket(from_ms=2000, between_sentences=2),
        ],
        moments=[analysis_pb2.Moment(type="fastest", t0_ms=1, t1_ms=2, words="so it is")],
    )
    session = begin()
    first, last = results(session.receive_result(key(), covering(frame(0), said(9, summary=summary)), T0))
    assert first["delivery"]["frame"] == {
        "t0_ms": 0,
        "t1_ms": 1000,
        "speech_ratio": None,
        "loudness_lufs": None,
        "pitch_hz": {"value": 120.0, "confidence": 1.0},
        "words_per_minute": None,
        "pause_ms": 7,
    }
    shown = last["delivery"]["summary"]
    assert shown["pace"] == [{"media_time_ms": 5000, "words_per_minute": 133.25}]
    assert [bucket["to_ms"] for bucket in shown["pauses"]] == [500, None]
    assert shown["moments"] == [{"type": "fastest", "t0_ms": 1, "t1_ms": 2, "words": "so it is"}]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value: float) -> None:
    odd = said(1, frame=analysis_pb2.DeliveryFrame(pitch_hz=measure(value)))
    (data,) = results(begin().receive_result(key(), covering(odd), T0))
    assert data["delivery"]["frame"]["pitch_hz"] is None


def test_a_window_gives_the_stretches_of_speech_since_the_last_one() -> None:
    """Frames tell the gateway; the client gets them with the window and the summary, and so does the store."""

    def heard(second: int, *stretches: tuple[int, int]) -> analysis_pb2.Analysis:
        message = frame(second)
        message.delivery.speech.settled_ms = 1000 * (second + 1)
        for t0, t1 in stretches:
            message.delivery.speech.stretches.add(t0_ms=t0, t1_ms=t1)
        return message

    session = begin()
    messages = [heard(8, (200, 900), (7000, 8100)), heard(9, (8600, 9200)), window(0), heard(10, (9800, 10_400))]
    actions = session.receive_result(key("a"), covering(*messages), T0)
    parts = [data["delivery"] for data in results(actions)]
    assert ["speech" in part for part in parts] == [False, False, True, False]
    assert [tuple(each.values()) for each in parts[2]["speech"]] == [(200, 900), (7000, 8100), (8600, 9200)]
    snapshots = [each.snapshot for each in actions if isinstance(each, StoreSnapshot)]
    assert snapshots[-1].delivery is not None
    assert snapshots[-1].delivery.speech == ((9800, 10_400),)
    last = said(11_000, summary=analysis_pb2.DeliverySummary())
    last.delivery.speech.stretches.add(t0_ms=10_700, t1_ms=11_000)
    [summary] = results(session.receive_result(key("a"), covering(last), T0))
    assert [tuple(each.values()) for each in summary["delivery"]["speech"]] == [(9800, 10_400), (10_700, 11_000)]


def test_sound_without_words_is_not_kept_beyond_its_window() -> None:
    session = begin(("delivery",))
    for number in range(30):
        message = frame(number)
        message.delivery.speech.settled_ms = 1000 * (number + 1)
        message.delivery.speech.stretches.add(t0_ms=1000 * number, t1_ms=1000 * number + 400)
        each = covering(message, *([window(number // 10)] if number % 10 == 9 else []))
        [*_, last] = results(session.receive_result(key("a", DELIVERY), each, T0))
    assert len(last["delivery"]["speech"]) == 10
    delivery = session.streams["a"].delivery
    assert delivery is not None
    assert delivery._spoken._stretches == []


def test_counts_that_were_not_measured_are_null() -> None:
    session = begin()
    alone = analysis_pb2.DeliveryWindow(t0_ms=0, t1_ms=10_000)
    counted = analysis_pb2.DeliveryWindow(t0_ms=10_000, t1_ms=20_000, words=0, syllables=0, pauses=0)
    silent = analysis_pb2.DeliveryFrame(t0_ms=0, t1_ms=1000)
    messages = covering(said(10_000, window=alone), said(20_000, window=counted), said(1000, frame=silent))
    first, second, third = results(session.receive_result(key("a"), messages, T0))
    names = ("words", "syllables", "pauses", "pauses_within_sentences")
    assert [first["delivery"]["window"][name] for name in names] == [None] * 4
    assert [second["delivery"]["window"][name] for name in names] == [0, 0, 0, None]
    assert third["delivery"]["frame"]["pause_ms"] is None


def test_delivery_follows_its_final_in_one_write_with_the_state() -> None:
    session = begin()
    actions = session.receive_result(
        key(), covering(frame(9), window(0), said(10_000, event("long_pause", 4000, 6500)), segment=1), T0
    )
    assert stored(actions) == [("StoreSegment", "delivery/window/0 delivery/event/long_pause/4000")]
    assert isinstance(actions[0], StoreSegment)
    assert actions[0].snapshot is not None
    assert [message["type"] for message in sent(actions)] == ["transcript_update", *["analysis_result"] * 3]
    assert [data["frame_seq"] for data in results(actions)] == [0, 1, 2]


def test_in_silence_delivery_is_written_with_the_state_alone() -> None:
    actions = begin().receive_result(key(), covering(frame(0)), T0)
    assert stored(actions) == [("StoreSnapshot", "")]
    assert len(results(actions)) == 1


def test_an_event_that_ends_is_stored_in_the_place_of_its_beginning() -> None:
    session = begin()
    opened = session.receive_result(key(), covering(said(3000, event("monotone", 2500))), T0)
    closed = session.receive_result(key(), covering(said(9000, event("monotone", 2500, 8000))), T0)
    assert stored(opened) == stored(closed) == [("StoreSnapshot", "delivery/event/monotone/2500")]
    assert [results(each)[0]["events"][0]["t1_ms"] for each in (opened, closed)] == [None, 8000]


def test_what_nobody_asked_for_is_not_passed_on() -> None:
    actions = begin(("stt",)).receive_result(key(), covering(window(0)), T0)
    assert results(actions) == []
    assert stored(actions) == [("StoreSnapshot", "")]


def test_the_summary_may_come_with_the_end() -> None:
    session = begin()
    result = covering(said(9, summary=analysis_pb2.DeliverySummary()))
    result.ended.SetInParent()
    actions = session.receive_result(key(), result, T0)
    assert stored(actions) == [("StoreSnapshot", "delivery/summary")]
    types = [message["type"] for message in sent(actions)]
    assert (types[0], types[-1]) == ("analysis_result", "stream_ended")


def test_windows_and_events_of_vision_are_stored_without_its_frames() -> None:
    session = open_session()
    text(session, T0, type="stream_start", stream_id="a", format="video/webm")
    analysis = analysis_pb2.Analysis(
        media_time_ms=1200,
        frame=analysis_pb2.FrameSignals(face_count=1),
        window=analysis_pb2.WindowSignals(t0_ms=0, t1_ms=10_000),
        events=[event("smile", 1200)],
    )
    actions = session.receive_result(key("a", VISION), task_pb2.TaskResult(analysis=analysis), T0)
    assert stored(actions) == [("StoreAnalyses", "vision/window/0 vision/event/smile/1200")]
    assert isinstance(actions[0], StoreAnalyses)
    for each in actions[0].analyses:
        data = json.loads(each.data)
        assert data["frame"] is None
        assert (data["window"] is None) == (each.key != "vision/window/0")
        assert len(data["events"]) == (each.key == "vision/event/smile/1200")
    whole = analysis_pb2.Analysis(window=analysis_pb2.WindowSignals(whole_session=True))
    actions = session.receive_result(key("a", VISION), task_pb2.TaskResult(analysis=whole), T0)
    assert stored(actions) == [("StoreAnalyses", "vision/summary")]
    bare = analysis_pb2.Analysis(frame=analysis_pb2.FrameSignals())
    assert stored(session.receive_result(key("a", VISION), task_pb2.TaskResult(analysis=bare), T0)) == []


def test_the_client_s_start_time_overrides_the_worker_s() -> None:
    for more, origin in (({}, ORIGIN), ({"started_at": 77}, 77)):
        (data,) = results(begin(**more).receive_result(key(), covering(window(0)), T0))
        assert data["delivery"]["origin_unix_ms"] == origin


def test_delivery_alone_is_acknowledged_as_it_is_committed() -> None:
    session = begin(("delivery",))
    text(session, T0, type="stream_chunk", stream_id="a", sequence=0, data="AAAA")
    actions = session.receive_result(key("a", DELIVERY), covering(frame(0)), T0)
    (acknowledged,) = sent(actions, "acknowledge")
    assert acknowledged["data"]["committed"] == 0


# --- a client or a gateway that was away ---


def numbers(actions: list[Action]) -> list[int]:
    return [data["frame_seq"] for data in results(actions)]


def back(session: Session, **last: int) -> list[int]:
    return numbers(session.connected(T0, resume_token="t", expires_at=1, last_deliveries=last))


def test_a_client_that_returns_gets_windows_and_events_and_no_frames() -> None:
    session = begin()
    session.receive_result(key(), covering(frame(0), window(0)), T0)
    session.disconnected(T0, is_clean=False)
    session.receive_result(key(), covering(frame(1), said(9, event("long_pause", 1, 9)), window(1)), T0)
    assert back(session) == [3, 4]
    session.disconnected(T0, is_clean=False)
    assert back(session) == []


def test_a_client_that_reports_what_it_holds_gets_what_follows() -> None:
    session = begin()
    session.receive_result(key(), covering(frame(0), window(0), window(1)), T0)
    session.disconnected(T0, is_clean=False)
    session.receive_result(key(), covering(frame(1), window(2)), T0)
    assert back(session, a=1) == [2, 4]
    session.disconnected(T0, is_clean=False)
    assert back(session, a=-1, unknown=5) == [1, 2, 4]


class Kept:
    """What a store keeps of one stream."""

    def __init__(self) -> None:
        self.snapshot = b""
        self.analyses: dict[str, StoredAnalysis] = {}

    def record(self, actions: list[Action]) -> list[Action]:
        for action in actions:
            if isinstance(action, StoreSegment | StoreSnapshot) and isinstance(action.snapshot, StreamSnapshot):
                self.snapshot = action.snapshot.encode()
                self.analyses |= {each.key: each for each in action.analyses}
        return actions

    def successor(self) -> tuple[Session, list[Action]]:
        """The session at another gateway."""
        session = Session("s-1")
        left = RestoredStream(decode_snapshot(self.snapshot), [], list(self.analyses.values()))
        return session, self.record(session.restore([left], ["a"], T0))


def test_another_gateway_continues_counting_and_has_what_is_kept() -> None:
    kept = Kept()
    session = begin(started_at=77)
    windows = [window(0), said(10_000, event("speaking_fast", 0), **{"window": window(1).delivery.window})]
    kept.record(session.receive_result(key(), covering(frame(0), *windows), T0))
    successor, actions = kept.successor()
    (opened,) = [each.request.start for each in actions if hasattr(each, "request")]
    assert opened.HasField("delivery")
    again = results(successor.connected(T0, resume_token="t", expires_at=1, last_deliveries={"a": 0}))
    assert [data["frame_seq"] for data in again] == [1, 2]
    assert again[1]["events"][0]["type"] == "speaking_fast"
    assert again[1]["delivery"]["window"]["words"] == 1
    assert again[1]["delivery"]["origin_unix_ms"] == 77
    more = results(kept.record(successor.receive_result(key(), covering(window(2), replay_from=2), T0)))
    assert [(data["frame_seq"], data["delivery"]["origin_unix_ms"]) for data in more] == [(3, 77)]


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"stream_id": 1}'])
def test_a_stored_part_that_cannot_be_read_does_not_hold_its_stream_up(data: bytes) -> None:
    kept = Kept()
    kept.record(begin().receive_result(key(), covering(window(0), window(1)), T0))
    kept.analyses["delivery/window/0"] = StoredAnalysis("delivery/window/0", data)
    successor, _ = kept.successor()
    again = successor.connected(T0, resume_token="t", expires_at=1, last_deliveries={"a": -1})
    assert numbers(again) == [1]


def test_a_snapshot_without_delivery_is_one_of_a_stream_without_it() -> None:
    """As earlier versions wrote it."""
    kept = Kept()
    kept.record(begin(("stt",)).receive_result(key(), covering(), T0))
    earlier = msgspec.msgpack.decode(kept.snapshot)
    del earlier["delivery"]
    kept.snapshot = msgspec.msgpack.encode(earlier)
    successor, _ = kept.successor()
    assert successor.streams["a"].delivery is None
    assert successor.streams["a"].spec.services == (STT,)


def test_what_came_with_an_end_that_was_not_stored_comes_once() -> None:
    """The gateway dies between two writes: that of the summary, and that of the stream's end."""
    kept, session = Kept(), begin()
    kept.record(session.receive_result(key(), covering(window(0)), T0))
    last = [window(1), said(20_400, event("monotone", 9000, 20_000), summary=analysis_pb2.DeliverySummary())]
    end = task_pb2.TaskResult(delivery=last, ended=task_pb2.Ended())
    actions = session.receive_result(key(), end, T0)
    (write,) = [each for each in actions if isinstance(each, StoreAnalyses)]
    kept.analyses |= {each.key: each for each in write.analyses}
    successor, _ = kept.successor()
    again = successor.connected(T0, resume_token="t", expires_at=1, last_deliveries={"a": -1})
    assert numbers(again) == [0, 1, 2]
    repeated = successor.receive_result(key(), end, T0)
    assert results(repeated) == []
    assert sent(repeated)[-1]["type"] == "stream_ended"
