"""The same audio in every notation that clients use results in the same requests, those of the golden file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from gateway.protocol.actions import Action
from gateway.protocol.session import Session
from tests.unit.gateway.protocol.helpers import T0, ended, final, key, open_session, requests, sent

DATA = Path(__file__).parents[3] / "data" / "protocol"
SHAPES: dict[str, list[Any]] = json.loads((DATA / "shapes.json").read_text())
GOLDEN = json.loads((DATA / "requests.json").read_text())
ORIGINAL: dict[str, str] = json.loads((DATA / "original.json").read_text())


def send(session: Session, frames: list[Any]) -> list[Action]:
    """Send frames as the file gives them: text as it stands, objects as JSON, `{"hex": ...}` as binary."""
    actions: list[Action] = []
    for frame in frames:
        if isinstance(frame, dict) and "hex" in frame:
            actions += session.receive_binary(bytes.fromhex(frame["hex"]), T0)
        else:
            actions += session.receive_text(frame if isinstance(frame, str) else json.dumps(frame), T0)
    return actions


def written(actions: list[Action], *, without_time: bool) -> list[dict[str, Any]]:
    found = [MessageToDict(request, preserving_proto_field_name=True) for request in requests(actions)]
    for request in found:
        if without_time and "chunk" in request:
            request["chunk"].pop("capture_time_unix_ms", None)
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_golden_requests(shape: str) -> None:
    session = open_session()
    actions = send(session, SHAPES[shape])
    if shape == "talkup_web":
        actions += session.disconnected(T0, is_clean=True)
    assert not sent(actions, "error")
    timeless = shape.startswith("binary") or shape in (
        "flat",
        "nested",
    )  # whole seconds do not say when a chunk was made
    golden = json.loads(json.dumps(GOLDEN))
    if timeless:
        for request in golden:
            request.get("chunk", {}).pop("capture_time_unix_ms", None)
    assert written(actions, without_time=timeless) == golden


def test_the_original_documents_examples_byte_for_byte() -> None:
    session = open_session()
    for name in ("ping", "status"):
        (reply,) = sent(session.receive_text(ORIGINAL[name], T0))
        assert reply["type"] == {"ping": "pong", "status": "status"}[name]
        assert isinstance(reply["timestamp"], int)
        assert isinstance(reply["data"], dict)
    assert sent(session.receive_text(ORIGINAL["stream_start"], T0), "acknowledge")
    (chunk,) = requests(session.receive_text(ORIGINAL["stream_chunk"], T0))
    assert chunk.chunk.payload == b"OggS\x00\x02 and more"[:16]
    (update,) = sent(session.receive_result(key("abc123"), final(1, "Bonjour, comment puis-je t’aider ?"), T0))
    assert update.items() >= json.loads(ORIGINAL["transcript_update"]).items()
    assert {"type", "timestamp", "data", "stream_id", "text", "confidence"} <= update.keys()
    session.receive_text(ORIGINAL["stream_end"], T0)
    assert sent(session.receive_result(key("abc123"), ended(), T0), "stream_ended")
