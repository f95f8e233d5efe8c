"""TalkUp web packets: streams that start implicitly, one per kind of media at a time. Pure.

TalkUp's web app does not announce streams. The first packet of a kind starts one, and the following packets belong to
it until it has ended. After that only a packet with a container header starts another stream, so that late packets of
the old recording do not.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.protocol.errors import Problem
from gateway.protocol.formats import parse_format
from gateway.protocol.magic import HeaderMatch, match_header
from gateway.protocol.messages import Kind, MediaPacket, StreamStart
from gateway.protocol.recordings import has_headers


@dataclass(frozen=True, slots=True)
class ToStream:
    """The packet is the next chunk of an open stream."""

    stream_id: str


@dataclass(frozen=True, slots=True)
class BeginStream:
    """The packet starts a stream; `stream_id` None: an implicit stream that needs a new id."""

    start: StreamStart
    stream_id: str | None


@dataclass(frozen=True, slots=True)
class OrphanPacket:
    """The packet belongs to no recording and is dropped; `is_first`: no error has been sent about it yet."""

    is_first: bool


PacketRoute = ToStream | BeginStream | OrphanPacket


class PacketStreams:
    """The implicit streams of one session."""

    def __init__(self) -> None:
        self._current: dict[Kind, str] = {}
        self._orphan_reported: set[Kind] = set()

    def set_current(self, kind: Kind, stream_id: str) -> None:
        """Set the implicit stream of a kind."""
        self._current[kind] = stream_id
        self._orphan_reported.discard(kind)

    def route(self, packet: MediaPacket, open_streams: Collection[str]) -> PacketRoute:
        """Find where a packet belongs; `open_streams` are the ids of the session's open streams."""
        current = packet.stream_id or self._current.get(packet.kind)
        if current is not None and current in open_streams:
            return ToStream(current)
        if packet.stream_id is None and current is not None and _is_empty_slice(packet):
            return OrphanPacket(is_first=False)
        if packet.stream_id is None and current is not None and not _may_begin(packet):
            is_first = packet.kind not in self._orphan_reported
            self._orphan_reported.add(packet.kind)
            return OrphanPacket(is_first)
        start = StreamStart(format=packet.format, kind=None if packet.format else packet.kind)
        return BeginStream(start, packet.stream_id)


def _is_empty_slice(packet: MediaPacket) -> bool:
    """Whether a recorder had nothing to send, as after its stop; an empty picture is a fault of the client."""
    return not packet.payload and packet.kind != "image"


def _may_begin(packet: MediaPacket) -> bool:
    """Whether a packet may begin a recording, as far as its format shows that."""
    fmt = parse_format(packet.format or packet.kind)
    if isinstance(fmt, Problem) or not has_headers(fmt):
        return True
    return match_header(packet.payload) is not HeaderMatch.NO
