"""Which services a client gets with delivery, in which calls, and with which options."""

from __future__ import annotations

from typing import Any

import pytest
from talkup.v1 import task_pb2

from gateway.protocol.actions import OpenTask
from tests.unit.gateway.protocol.helpers import STT, T0, VISION, b64, errors, open_session, requests, sent, text

DELIVERY = task_pb2.SERVICE_TYPE_DELIVERY
AUDIO: dict[str, Any] = {"format": "audio/pcm", "sample_rate": 16_000}
VIDEO: dict[str, Any] = {"format": "video/webm"}

MATRIX = [
    (AUDIO, None, [STT], [], ["stt"]),
    (AUDIO, ["stt"], [STT], [], ["stt"]),
    (AUDIO, ["stt", "delivery"], [STT], [STT], ["stt", "delivery"]),
    (AUDIO, ["delivery", "stt"], [STT], [STT], ["stt", "delivery"]),
    (AUDIO, ["delivery"], [DELIVERY], [DELIVERY], ["delivery"]),
    (AUDIO, ["va", "verbal_analyzer", "verbal-analyzer"], [DELIVERY], [DELIVERY], ["delivery"]),
    (VIDEO, ["delivery"], [DELIVERY], [DELIVERY], ["delivery"]),
    (VIDEO, ["vision", "delivery"], [VISION, DELIVERY], [DELIVERY], ["vision", "delivery"]),
    (VIDEO, ["vision", "va", "stt"], [VISION, STT], [STT], ["vision", "stt", "delivery"]),
]


def starts(**start: Any) -> dict[task_pb2.ServiceType, task_pb2.StreamStart]:
    actions = text(open_session(), T0, type="stream_start", stream_id="a", **start)
    assert errors(actions) == []
    return {each.key.service_type: each.request.start for each in actions if isinstance(each, OpenTask)}


@pytest.mark.parametrize(("media", "services", "calls", "measuring", "names"), MATRIX)
def test_the_calls_of_a_stream(
    media: dict[str, Any],
    services: list[str] | None,
    calls: list[task_pb2.ServiceType],
    measuring: list[task_pb2.ServiceType],
    names: list[str],
) -> None:
    wanted = {} if services is None else {"services": services}
    actions = text(open_session(), T0, type="stream_start", stream_id="a", **media, **wanted)
    opened = [each.request for each in actions if isinstance(each, OpenTask)]
    assert [each.service_type for each in opened] == calls
    assert [each.service_type for each in opened if each.start.HasField("delivery")] == measuring
    (accepted,) = sent(actions, "acknowledge")
    assert accepted["data"]["services"] == names


def test_pictures_have_no_delivery() -> None:
    actions = text(open_session(), T0, type="stream_start", format="image/jpeg", services=["va"])
    (refused,) = sent(actions, "error")
    assert (refused["data"]["code"], refused["data"]["field"]) == ("bad_message", "services")
    assert refused["data"]["message"] == "services: delivery cannot process image"


def test_the_signals_of_one_service_go_on_as_they_are() -> None:
    found = starts(**AUDIO, services=["stt", "delivery"], signals=["pitch", "charm"])
    assert list(found[STT].delivery.signals) == ["pitch", "charm"]


def test_the_signals_of_both_services_are_told_apart() -> None:
    found = starts(**VIDEO, services=["vision", "delivery"], signals=["landmarks", "filled_pauses", "charm"])
    assert list(found[VISION].vision.signals) == ["landmarks", "charm"]
    assert list(found[DELIVERY].delivery.signals) == ["filled_pauses"]


def test_delivery_alone_knows_whether_it_hears_a_recording() -> None:
    found = starts(**AUDIO, services=["delivery"], mode="file")
    assert found[DELIVERY].speech.mode == starts(**AUDIO, mode="file")[STT].speech.mode


@pytest.mark.parametrize(
    ("services", "timed"), [(["stt"], False), (["delivery"], True), (["stt", "delivery"], True)], ids=str
)
def test_chunks_carry_the_time_of_their_arrival_where_delivery_is_measured(services: list[str], timed: bool) -> None:
    session = open_session()
    text(session, T0, type="stream_start", stream_id="a", **AUDIO, services=services)
    (request,) = requests(text(session, T0 + 1.5, type="stream_chunk", stream_id="a", data=b64(bytes(64))))
    assert request.chunk.HasField("received_unix_ms") == timed
    assert not timed or request.chunk.received_unix_ms == round((T0 + 1.5) * 1000)


@pytest.mark.parametrize("value", [-1, 1.5, "today", 2**53 + 1])
def test_a_start_time_is_in_milliseconds(value: object) -> None:
    actions = text(open_session(), T0, type="stream_start", **AUDIO, started_at=value)
    assert [each["data"]["field"] for each in sent(actions, "error")] == ["started_at"]
