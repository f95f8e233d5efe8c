"""Holds every message that a test receives against the published JSON Schema, closed: a field not in it is a fault."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from gateway.schemas import schema


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The same schema with no room for undocumented fields."""
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


def checked(message: dict[str, Any]) -> dict[str, Any]:
    """The message itself, once it is what the specification says. Raises AssertionError with the faults."""
    validator = _validators().get(message.get("type", ""))
    assert validator is not None, f"no schema for {message.get('type')!r}"
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(message)]
    assert not faults, f"{message['type']}: {faults}"
    return message
