"""Where TalkUp's packets belong: to an open stream, to a new one, or nowhere."""

from __future__ import annotations

from gateway.protocol.messages import MediaPacket, StreamStart
from gateway.protocol.packets import BeginStream, OrphanPacket, PacketStreams, ToStream
from tests.unit.gateway.protocol.helpers import BODY, EBML

WEBM = "audio/webm;codecs=opus"


def packet(payload: bytes, stream_id: str | None = None) -> MediaPacket:
    return MediaPacket(kind="audio", stream_id=stream_id, payload=payload, format=WEBM)


def test_the_first_packet_begins_a_stream_and_the_next_ones_belong_to_it() -> None:
    packets = PacketStreams()
    assert packets.route(packet(BODY), []) == BeginStream(StreamStart(format=WEBM), None)
    packets.set_current("audio", "audio-1")
    assert packets.route(packet(BODY), ["audio-1", "other"]) == ToStream("audio-1")


def test_after_its_end_only_a_header_begins_another_and_orphans_are_reported_once() -> None:
    packets = PacketStreams()
    packets.set_current("audio", "audio-1")
    assert packets.route(packet(BODY), []) == OrphanPacket(is_first=True)
    assert packets.route(packet(BODY), []) == OrphanPacket(is_first=False)
    assert isinstance(packets.route(packet(EBML), []), BeginStream)
    packets.set_current("audio", "audio-2")
    assert packets.route(packet(BODY), []) == OrphanPacket(is_first=True)


def test_a_packet_that_names_its_stream_goes_there() -> None:
    packets = PacketStreams()
    packets.set_current("audio", "audio-1")
    assert packets.route(packet(BODY, "mine"), ["audio-1"]) == BeginStream(StreamStart(format=WEBM), "mine")
    assert packets.route(packet(BODY, "mine"), ["audio-1", "mine"]) == ToStream("mine")


def test_an_empty_slice_behind_the_end_begins_no_stream_and_is_no_fault() -> None:
    packets = PacketStreams()
    packets.set_current("audio", "audio-1")
    assert packets.route(packet(b""), []) == OrphanPacket(is_first=False)
    assert packets.route(packet(BODY), []) == OrphanPacket(is_first=True)
