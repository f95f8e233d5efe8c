"""A client's JSON, with bounds on its size, its number of values and its depth.

The time to decode JSON grows with the number of values: 4 MiB of empty lists take 0.7 s, which every other client would
wait for; 4 MiB of Base64 take 4 ms. So the values are counted before any is built, by the characters that separate
them. Only messages with media may be large.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway.protocol.errors import Code, Problem

_BYTE_ORDER_MARK: Final = "\ufeff"  # a reader of JSON may ignore it (RFC 8259 8.1)
_HEAD: Final = 64


@dataclass(frozen=True)
class JsonBounds:
    """`control_bytes`: the largest message without media, in UTF-8. `depth`: levels of lists and objects."""

    control_bytes: int = 128 * 1024
    values: int = 4096
    depth: int = 64


class _Named(msgspec.Struct):
    """The one field that tells messages from other JSON."""

    type: str


def type_of(text: str | bytes) -> str | None:
    """The `type` of a JSON object, read without building the rest; None if the text is anything else."""
    try:
        return msgspec.json.decode(text, type=_Named).type
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def read_object(text: str, bounds: JsonBounds, media_types: Container[str]) -> dict[str, Any] | Problem:
    """Decode a JSON object within bounds; only a message whose type is in `media_types` may exceed `control_bytes`."""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if not text[:_HEAD].lstrip().startswith("{") and not text.lstrip().startswith("{"):
        return Problem(Code.BAD_JSON, "the frame is not a JSON object")
    if text.count(",") + text.count("[") + text.count("{") > bounds.values:
        return Problem(Code.BAD_MESSAGE, f"a message may hold at most {bounds.values} values")
    if is_longer(text, bounds.control_bytes) and type_of(text) not in media_types:
        return Problem(Code.PAYLOAD_TOO_LARGE, f"a message without media has at most {bounds.control_bytes} bytes")
    try:
        top: dict[str, Any] = msgspec.json.decode(text)
    except RecursionError:
        return _too_deep(bounds)
    except (msgspec.DecodeError, UnicodeError):
        return Problem(Code.BAD_JSON, "the frame is not valid JSON")
    return _too_deep(bounds) if is_deeper(top, bounds.depth) else top


def is_deeper(value: object, depth: int) -> bool:
    """Whether a value has more than `depth` levels; checks level by level, without recursion."""
    level = [value]
    for _ in range(depth):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True


def is_longer(text: str, limit: int) -> bool:
    """Whether a text is longer than `limit` bytes in UTF-8. Most texts need not be encoded to find out."""
    return len(text) > limit or (len(text) * 4 > limit and utf8_bytes(text) > limit)


def utf8_bytes(text: str) -> int:
    """The number of bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _too_deep(bounds: JsonBounds) -> Problem:
    return Problem(Code.BAD_MESSAGE, f"a message may be nested at most {bounds.depth} levels deep")
