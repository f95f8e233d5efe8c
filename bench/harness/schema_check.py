"""Checks every message that a test receives against the published JSON Schema; undocumented fields are errors."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from typing import Any

import msgspec
from jsonschema import Draft202012Validator

from gateway.protocol.messages import ServerMessage
from gateway.schemas import schema


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The same schema, without undocumented fields allowed."""
    document = deepcopy(document)
    for definition in document["$defs"].values():
        if "properties" in definition:
            definition["additionalProperties"] = False
    return document


def type_names(document: dict[str, Any]) -> dict[str, str]:
    """Message type -> name of its definition."""
    return {
        type_name: name
        for name, definition in document["$defs"].items()
        for type_name in definition.get("properties", {}).get("type", {}).get("enum", ())
    }


@cache
def _validators() -> dict[str, Draft202012Validator]:
    document = closed(schema("server.json"))
    return {
        type_name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": document["$defs"]})
        for type_name, name in type_names(document).items()
    }


def spoken(type_name: str, data: dict[str, Any]) -> dict[str, Any]:
    """A whole server message with `data` in it: fields that the specification asks for and `data` lacks are empty.

    Raises AssertionError when the result is not what the specification says.
    """
    document = schema("server.json")
    envelope: dict[str, Any] = {"type": type_name, "timestamp": 0, "protocol_version": "1.0", "data": data}
    wanted = document["$defs"][type_names(document)[type_name]]["properties"]
    envelope |= {name: data[name] for name in wanted.keys() & data.keys()}
    return checked(_completed({"$ref": f"#/$defs/{type_names(document)[type_name]}"}, envelope, document["$defs"]))


def _completed(part: dict[str, Any], value: Any, definitions: dict[str, Any]) -> Any:
    """`value` with its missing required fields added, at any depth."""
    part = _resolved(part, definitions)
    if value is not None and "anyOf" in part:
        part = _resolved(next(each for each in part["anyOf"] if each.get("type") != "null"), definitions)
    if isinstance(value, list) and "items" in part:
        return [_completed(part["items"], item, definitions) for item in value]
    if not isinstance(value, dict) or "properties" not in part:
        return value
    fields = part["properties"]
    lacking = {name: _empty(fields[name], definitions) for name in part.get("required", ()) if name not in value}
    given = {
        name: _completed(fields[name], inner, definitions) if name in fields else inner for name, inner in value.items()
    }
    return {**lacking, **given}


def _empty(part: dict[str, Any], definitions: dict[str, Any]) -> Any:
    """The smallest value that a part of a schema allows."""
    part = _resolved(part, definitions)
    if "enum" in part:
        return part["enum"][0]
    if "anyOf" in part:
        return None if {"type": "null"} in part["anyOf"] else _empty(part["anyOf"][0], definitions)
    match part.get("type"):
        case "object":
            return _completed(part, {}, definitions)
        case "array":
            return []
        case "string":
            return ""
        case "boolean":
            return False
        case "integer" | "number":
            return max(0, part.get("minimum", 0))
        case _:
            return None


def _resolved(part: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        part = definitions[part["$ref"].rpartition("/")[2]]
    return part


class Ledger:
    """Checks every message against the specification as it arrives: each one against the classes that generate the
    schemas, and each new structure against the schemas themselves."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def enter(self, text: str) -> None:
        """Check a server message and record any error."""
        try:
            msgspec.json.decode(text, type=ServerMessage)
            message = json.loads(text)
            shape = _shape(message)
            if shape not in _KNOWN:
                checked(message)
                _KNOWN.add(shape)
        except (AssertionError, ValueError, RecursionError) as fault:  # msgspec's own are ValueErrors
            self.faults.append(str(fault))


_KNOWN: set[object] = set()


def _shape(value: Any) -> object:
    """The structure of a message: types, field names and the kinds of list items, but not the length of lists."""
    match value:
        case dict():
            kind = value.get("type")
            return (kind, *((name, _shape(inner)) for name, inner in sorted(value.items())))
        case list():
            return frozenset(_shape(inner) for inner in value)
        case _:
            return type(value)


def checked(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message if it conforms to the specification. Raises AssertionError with the errors."""
    validator = _validators().get(message.get("type", ""))
    assert validator is not None, f"no schema for {message.get('type')!r}"
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(message)]
    assert not faults, f"{message['type']}: {faults}"
    return message
