"""Chunks in the form that the documentation shows, decoded in one step: JSON, types and Base64 together.

Most frames of a live stream have this form. A frame that differs in any way (an alias, another field, missing padding,
an error) is not recognised here; the codec then decodes it field by field. For every frame that both can decode, the
result is the same.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Struct, field

from gateway.protocol.messages import MimeType, Sequence, StreamId

# The type of a message is within this many characters from the start, in the frames of all known clients.
_HEAD: Final = 64


class PlainChunk(Struct, tag_field="type", tag="stream_chunk", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A `stream_chunk`."""

    payload: bytes = field(name="data")
    stream_id: StreamId | None = None
    sequence: Sequence | None = None
    timestamp: int | float | None = None
    protocol_version: Literal["1.0"] | None = None


class PlainPacket(Struct, tag_field="type", tag="audio", forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A packet of TalkUp's web app."""

    payload: bytes = field(name="data")
    sequence: Sequence | None = field(default=None, name="sequenceNumber")
    format: MimeType | None = field(default=None, name="mimeType")
    timestamp: int | float | None = None
    protocol_version: Literal["1.0"] | None = None


_DECODER: Final[msgspec.json.Decoder[PlainChunk | PlainPacket]] = msgspec.json.Decoder(PlainChunk | PlainPacket)


def decode_plain(text: str) -> PlainChunk | PlainPacket | None:
    """Decode a frame in the plain form; None if it is anything else."""
    head = text[:_HEAD]
    if '"stream_chunk"' not in head and '"audio"' not in head:
        return None
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
