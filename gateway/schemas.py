"""The protocol's specification, generated from the classes that the codec uses: JSON Schemas and an AsyncAPI document.

JSON Schema 2020-12 (json-schema.org/draft/2020-12), AsyncAPI 3.0.0 (asyncapi.com/docs/reference/specification).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cache
from typing import Any, Final, get_args

import msgspec

from gateway.credentials import SUBPROTOCOL
from gateway.protocol import messages as m
from gateway.protocol.errors import ERRORS
from gateway.protocol.version import PROTOCOL_VERSION

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_NAMES: Final = ("client.json", "server.json")

_Schema = dict[str, Any]
# A client may use any of the three; the codec converts them to milliseconds.
_CLIENT_TIMESTAMP: Final[_Schema] = {
    "anyOf": [{"type": "number"}, {"type": "string", "format": "date-time"}, {"type": "null"}],
    "description": "UNIX seconds, UNIX milliseconds or ISO 8601; never used for order.",
}
_TITLES: Final[Mapping[str, str]] = {
    "client.json": "What a client sends, in its normal form: fields at the top level",
    "server.json": "What the gateway sends",
}


def schema(name: str) -> _Schema:
    """The JSON Schema of `client.json` or `server.json`: any message of that direction. Raises KeyError."""
    title = _TITLES[name]
    union = m.ClientMessage if name == "client.json" else m.ServerMessage
    definitions = _definitions(union, "#/$defs/")
    return {
        "$schema": DIALECT,
        "$id": f"urn:talkup:{PROTOCOL_VERSION}:{name.removesuffix('.json')}",
        "title": title,
        "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in get_args(union)],
        "$defs": definitions,
    }


def asyncapi(ws_url: str) -> _Schema:
    """The AsyncAPI document of the gateway whose WebSocket is at `ws_url` (scheme://host:port/path)."""
    scheme, _, rest = ws_url.partition("://")
    host, slash, path = rest.partition("/")
    sent, received = _messages(m.ClientMessage), _messages(m.ServerMessage)
    received_names, sent_names = list(received), [*sent, "BinaryChunk"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "TalkUp gateway",
            "version": PROTOCOL_VERSION,
            "description": "Live captions and behaviour signals over one WebSocket.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {"host": host, "pathname": f"{slash}{path}", "protocol": scheme, "security": _security()}
        },
        "channels": {
            "session": {
                "title": "A session",
                "description": f"Subprotocol `{SUBPROTOCOL}`; one socket carries all streams of a session.",
                "messages": {
                    name: {"$ref": f"#/components/messages/{name}"} for name in (*sent_names, *received_names)
                },
            }
        },
        "operations": {
            "receiveFromClient": _operation("receive", "What a client sends.", sent_names),
            "sendToClient": _operation("send", "What the gateway sends.", received_names),
        },
        "components": {
            "messages": {**sent, "BinaryChunk": _binary_chunk(), **received},
            "schemas": {
                **_definitions(m.ClientMessage, "#/components/schemas/"),
                **_definitions(m.ServerMessage, "#/components/schemas/"),
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "API key or session token"}
            },
        },
    }


def _security() -> list[_Schema]:
    return [{"$ref": "#/components/securitySchemes/bearer"}]


def _operation(action: str, summary: str, names: Iterable[str]) -> _Schema:
    return {
        "action": action,
        "summary": summary,
        "channel": {"$ref": "#/channels/session"},
        "messages": [{"$ref": f"#/channels/session/messages/{name}"} for name in names],
    }


def _messages(union: object) -> dict[str, _Schema]:
    return {
        kind.__name__: {
            "name": kind.__struct_config__.tag,
            "summary": (kind.__doc__ or "").partition("\n")[0],
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        }
        for kind in get_args(union)
    }


def _binary_chunk() -> _Schema:
    return {
        "name": "binary_chunk",
        "summary": "A binary frame: the next chunk of the only open stream, or with the tagged header of its stream.",
        "contentType": "application/octet-stream",
        "payload": {
            "type": "string",
            "format": "binary",
            "description": "Tagged: 0x54, 0x01, handle (16 bits BE), sequence (32 bits BE), then the payload.",
        },
    }


@cache
def _definitions(union: Hashable, prefix: str) -> dict[str, _Schema]:
    """The schemas of every class of a union and its parts, by class name. Cached: do not modify the result."""
    _, found = msgspec.json.schema_components(get_args(union), ref_template=prefix + "{name}")
    definitions = {name: _plain(component) for name, component in found.items()}
    for kind in get_args(union):
        properties = definitions[kind.__name__]["properties"]
        if issubclass(kind, m.ClientBase):
            properties["timestamp"] = _CLIENT_TIMESTAMP
        else:
            # Every message to a client carries both fields; the classes have defaults for them.
            del properties["timestamp"]["default"]
            required = {*definitions[kind.__name__]["required"], "timestamp", "protocol_version"}
            definitions[kind.__name__]["required"] = sorted(required, key=list(properties).index)
    for name in _CORRECTIONS.keys() & definitions.keys():
        _CORRECTIONS[name](definitions[name]["properties"])
    return definitions


def _packet_kind(properties: _Schema) -> None:
    """A web packet's kind is sent as its type."""
    properties["type"] = properties.pop("kind")
    del properties["type"]["default"]


def _error_codes(properties: _Schema) -> None:
    """The codes are a closed list."""
    properties["code"]["enum"] = [str(code) for code in ERRORS]


# Corrections that the classes cannot express, by class name.
_CORRECTIONS: Final[Mapping[str, Callable[[_Schema], None]]] = {"MediaPacket": _packet_kind, "ErrorData": _error_codes}


def _plain(component: Mapping[str, Any]) -> _Schema:
    """A component without the titles that only repeat its name."""
    return {name: value for name, value in component.items() if name != "title"}
