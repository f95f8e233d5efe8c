"""docs/protocol.md: its tables match the code, and its examples run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.harness.schema_check import checked
from gateway.protocol.errors import ERRORS
from gateway.protocol.formats import ALIASES, SUPPORTED_FORMATS
from gateway.protocol.messages import (
    AnalysisResult,
    ClientMessage,
    DeliveryFrameData,
    DeliveryWindowData,
    ServerMessage,
    TranscriptUpdate,
)
from gateway.protocol.states import SESSION_TABLE, STREAM_TABLE, table_markdown
from tests.unit.gateway.protocol.helpers import T0, open_session, sent

PAGE = (Path(__file__).parents[4] / "docs" / "protocol.md").read_text()
TALKS = re.findall(r"```talk\n(.*?)```", PAGE, re.DOTALL)


def errors_markdown() -> str:
    rows = [
        f"| `{code}` | {spec.status.name} | {spec.close or ''} | {'yes' if spec.retryable else 'no'} |"
        for code, spec in ERRORS.items()
    ]
    return "\n".join(["| code | gRPC status | close code | retryable |", "|---|---|---|---|", *rows]) + "\n"


def aliases_markdown() -> str:
    others: dict[str, list[str]] = {}
    for alias, name in ALIASES.items():
        others.setdefault(name, []).append(f"`{alias}`")
    return "\n".join(f"- `{name}`: {', '.join(aliases)}" for name, aliases in others.items()) + "\n"


TABLES = {
    "errors": errors_markdown(),
    "stream-states": table_markdown(STREAM_TABLE),
    "session-states": table_markdown(SESSION_TABLE),
    "formats": "\n".join(f"- `{name}`" for name in SUPPORTED_FORMATS) + "\n",
    "format-aliases": aliases_markdown(),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_match_the_code(name: str) -> None:
    match = re.search(rf"<!-- {name} -->\n\n?(.*?)\n?<!-- /{name} -->", PAGE, re.DOTALL)
    assert match is not None
    assert match.group(1).strip() == TABLES[name].strip()


def covers(whole: Any, part: Any) -> bool:
    """Whether the real answer contains everything that the example shows."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and covers(whole[name], part[name]) for name in part)
    return bool(whole == part)


@pytest.mark.parametrize("talk", TALKS, ids=["conversation", "delivery", "refusals"])
def test_conversations(talk: str) -> None:
    session = open_session()
    answers: list[dict[str, Any]] = []
    for line in talk.splitlines():
        if line.startswith("> "):
            assert answers == []
            answers = sent(session.receive_text(line[2:], T0))
        else:
            assert covers(answers.pop(0), json.loads(line[2:]))
    assert answers == []


def test_json_examples_have_the_shape_of_their_message() -> None:
    blocks = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    for block in blocks:
        checked(json.loads(block))
        message = msgspec.json.decode(block, type=TranscriptUpdate | AnalysisResult)
        assert not isinstance(message, TranscriptUpdate) or len(message.text) == message.data.stable_chars


def test_every_field_of_delivery_is_described() -> None:
    """Its unit, and what it does not mean, in the order of the contract."""
    section = PAGE.partition("\n## Delivery\n")[2].partition("\n## Errors\n")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in section.splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in row]
    fields = [*DeliveryFrameData.__struct_fields__, *DeliveryWindowData.__struct_fields__]
    assert described == [name for name in fields if name != "whole_session"]


def test_every_message_type_is_described_and_has_a_schema() -> None:
    for union in (ClientMessage, ServerMessage):
        (_,), components = msgspec.json.schema_components((union,), ref_template="#/$defs/{name}")
        types = {
            schema["properties"]["type"]["enum"][0]
            for schema in components.values()
            if "type" in schema.get("properties", {}) and "enum" in schema["properties"]["type"]
        }
        assert len(types) == len(union.__args__)
        assert all(f"`{name}`" in PAGE for name in types)
        assert all(component.get("description") for component in components.values())
