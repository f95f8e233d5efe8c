"""The specification: valid by its own standards, complete, and backward compatible with version 1.0."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bench.harness.schema_check import Ledger, checked, closed, spoken, type_names
from gateway.protocol.messages import ClientMessage, ServerMessage
from gateway.schemas import SCHEMA_NAMES, asyncapi, schema

ROOT = Path(__file__).parents[4]
BASELINE = ROOT / "tests" / "data" / "protocol" / "schema-1.0.json"
PUBLISHED = ROOT / "clients" / "typescript" / "schema"

Schema = dict[str, Any]


def incompatibilities(old: Schema, new: Schema, *, to_client: bool) -> list[str]:
    """What a client written against `old` would miss in `new`.

    In messages to the client: a removed field, a field that is no longer guaranteed, a changed type. In messages from
    the client: a field that is no longer accepted, a field that is now required, a value that is no longer allowed.
    """
    found = []
    for name, definition in old.items():
        if name not in new:
            found.append(f"{name} is gone")
            continue
        before, after = definition.get("properties", {}), new[name].get("properties", {})
        found += [f"{name}.{field} is gone" for field in before if field not in after]
        required = (set(definition.get("required", ())), set(new[name].get("required", ())))
        weaker = required[0] - required[1] if to_client else required[1] - required[0]
        found += [f"{name}.{field}: required was changed" for field in sorted(weaker)]
        for field in before.keys() & after.keys():
            values = (set(before[field].get("enum", ())), set(after[field].get("enum", ())))
            if before[field].get("type") != after[field].get("type") or (values[0] - values[1]):
                found.append(f"{name}.{field}: another type")
    return found


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_nothing_of_version_1_is_missing(name: str) -> None:
    old = json.loads(BASELINE.read_text())[name]
    assert incompatibilities(old, schema(name)["$defs"], to_client=name == "server.json") == []


def test_a_removed_field_is_noticed() -> None:
    old = json.loads(BASELINE.read_text())["server.json"]
    new = deepcopy(schema("server.json")["$defs"])
    del new["TranscriptData"]["properties"]["stable_chars"]
    new["Acknowledge"]["required"].remove("stream_id")
    assert incompatibilities(old, new, to_client=True) == [
        "Acknowledge.stream_id: required was changed",
        "TranscriptData.stable_chars is gone",
    ]


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_the_published_schema_is_the_generated_one(name: str) -> None:
    assert json.loads((PUBLISHED / name).read_text()) == schema(name), "make schemas"


@pytest.mark.parametrize("name", SCHEMA_NAMES)
def test_the_schema_is_valid_and_knows_every_message(name: str) -> None:
    document = schema(name)
    Draft202012Validator.check_schema(document)
    union = ClientMessage if name == "client.json" else ServerMessage
    expected = {"audio", "video", "image"} if name == "client.json" else set()
    assert set(type_names(document)) == expected | {kind.__struct_config__.tag for kind in union.__args__}


def test_what_clients_send_is_valid() -> None:
    validator = Draft202012Validator(closed(schema("client.json")))
    for message in (
        {
            "type": "audio",
            "data": "GkXfow==",
            "timestamp": 1739592334000,
            "mimeType": "audio/webm",
            "sequenceNumber": 0,
        },
        {"type": "ping", "timestamp": "2025-11-03T10:00:00Z", "payload": {"message": "hello"}},
        {"type": "stream_start", "format": "audio/webm;codecs=opus", "language": "fr", "framing": "tagged"},
        {"type": "session_resume", "session_id": "s", "token": "t", "streams": [{"stream_id": "a"}]},
    ):
        assert [error.message for error in validator.iter_errors(message)] == []
    assert not validator.is_valid({"type": "stream_start", "language": "not a language"})


def test_an_undocumented_or_missing_field_is_an_error() -> None:
    pong: Schema = {"type": "pong", "timestamp": 1, "protocol_version": "1.0", "data": {}}
    assert checked(pong) is pong
    for broken in ({**pong, "more": 1}, {name: pong[name] for name in pong if name != "protocol_version"}):
        with pytest.raises(AssertionError, match="pong"):
            checked(broken)


def test_messages_of_fakes_are_complete() -> None:
    message = spoken("transcript_update", {"stream_id": "a", "text": "so it is", "is_final": True})
    assert message["text"] == message["data"]["text"] == "so it is"
    assert message["data"]["words"] == []
    with pytest.raises(AssertionError, match="transcript_update"):
        spoken("transcript_update", {"stream_id": "a", "loudness": 1})


def test_messages_to_a_client_are_checked_against_the_specification() -> None:
    whole = spoken("transcript_update", {"stream_id": "a", "confidence": 0.5})
    unknown = {**whole, "data": {**whole["data"], "loudness": 1}}
    lacking = {**whole, "data": {name: value for name, value in whole["data"].items() if name != "stable_chars"}}
    unsure = {**whole, "data": {**whole["data"], "confidence": 1.5}}
    ledger = Ledger()
    ledger.enter(json.dumps(whole))
    assert ledger.faults == []
    for count, broken in enumerate((unknown, lacking, unsure, {"type": "rumour"}, []), start=1):
        ledger.enter(json.dumps(broken))
        assert len(ledger.faults) == count


def test_references_in_the_asyncapi_document_resolve() -> None:
    document = asyncapi("wss://gateway.example:8443/ws")
    assert document["servers"]["gateway"]["host"] == "gateway.example:8443"
    assert document["servers"]["gateway"]["pathname"] == "/ws"

    def references(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for part in value.values() for found in references(part)]
        return [found for part in value for found in references(part)] if isinstance(value, list) else []

    for reference in references(document):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
