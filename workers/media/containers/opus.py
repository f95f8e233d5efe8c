"""Opus (RFC 6716) without its decoder: the header of RFC 7845, packet durations, and streams of bare packets."""

from __future__ import annotations

import struct

from workers.media.containers.packet import Codec, Demuxer, Incomplete, Packet, Track

RATE = 48_000
"""The rate of every Opus clock, samples per second."""

_SILK_SAMPLES = (480, 960, 1920, 2880)
_HYBRID_SAMPLES = (480, 960)
_CELT_SAMPLES = (120, 240, 480, 960)


def default_head(channels: int) -> bytes:
    """An OpusHead (RFC 7845, 5.1) for one or two channels and no pre-skip."""
    return b"OpusHead\x01" + bytes([channels]) + struct.pack("<HIhB", 0, RATE, 0, 0)


def pre_skip(head: bytes) -> int:
    """The samples at 48 kHz to drop at the start."""
    return int(struct.unpack_from("<H", head, 10)[0])


def without_pre_skip(head: bytes) -> bytes:
    """The same header for a decoder that must drop nothing by itself."""
    return head[:10] + b"\0\0" + head[12:]


def packet_samples(data: bytes) -> int:
    """The duration of a packet in samples at 48 kHz (RFC 6716, 3.1); 0 for one that breaks the rules."""
    if not data:
        return 0
    config = data[0] >> 3
    if config < 12:
        frame = _SILK_SAMPLES[config & 3]
    elif config < 16:
        frame = _HYBRID_SAMPLES[config & 1]
    else:
        frame = _CELT_SAMPLES[config & 3]
    code = data[0] & 3
    count = (1, 2, 2)[code] if code < 3 else (data[1] & 0x3F if len(data) > 1 else 0)
    samples = frame * count
    return samples if samples <= 5760 else 0


class OpusPacketDemuxer(Demuxer):
    """One bare packet a chunk: the transport does the framing, an empty chunk is a packet that was not sent."""

    has_pts = False

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.tracks = {1: Track(1, Codec.OPUS, default_head(channels), RATE, channels)}

    def prefix(self, anchor: int) -> bytes:
        """Nothing: a packet stands for itself."""
        del anchor
        return b""

    def _step(self, packets: list[Packet]) -> int:
        if not self._buffer:
            raise Incomplete
        packets.append(Packet(1, bytes(self._buffer), self.position))
        return len(self._buffer)

    def _seek(self) -> int:
        return 0
