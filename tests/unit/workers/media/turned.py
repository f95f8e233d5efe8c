"""Recordings that ask to be turned: the notes that telephones write, put into recordings made on the spot."""

from __future__ import annotations

import io
import struct

import av
import numpy as np
from numpy.typing import NDArray

from workers.media.containers.webm import WebmDemuxer

_MATRIX_AT = 44

QUARTERS: NDArray[np.uint8] = np.zeros((240, 320, 3), np.uint8)
"""A red, a green, a blue and a white quarter, row by row."""

QUARTERS[:120, :160], QUARTERS[:120, 160:] = (200, 0, 0), (0, 200, 0)
QUARTERS[120:, :160], QUARTERS[120:, 160:] = (0, 0, 200), 220

MATRICES = [
    ((1, 0, 0, 1), "RGBW"),
    ((0, 1, -1, 0), "BRWG"),
    ((-1, 0, 0, -1), "WBGR"),
    ((0, -1, 1, 0), "GWRB"),
    ((-1, 0, 0, 1), "GRWB"),
    ((1, 0, 0, -1), "BWRG"),
    ((0, 1, 1, 0), "RBGW"),
    ((0, -1, -1, 0), "WGBR"),
]
"""Four turns, mirrored and not, and the quarters that they give; FFmpeg reads the same from the same files."""


def quarters_of(picture: NDArray[np.uint8]) -> str:
    """The colours of the quarters of an RGB picture, row by row."""
    height, width = picture.shape[:2]
    names = {(True, False, False): "R", (False, True, False): "G", (False, False, True): "B", (True, True, True): "W"}
    places = [(y, x) for y in (height // 8, height * 7 // 8) for x in (width // 8, width * 7 // 8)]
    red_green_blue = [picture[place] > 110 for place in places]
    return "".join(names[(bool(red), bool(green), bool(blue))] for red, green, blue in red_green_blue)


def with_matrix(mp4: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 with this matrix in every track header: (x, y) goes to (a x + c y, b x + d y)."""
    data, at = bytearray(mp4), mp4.index(b"tkhd")
    while at >= 0:
        struct.pack_into(">9i", data, at + _MATRIX_AT, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        at = mp4.find(b"tkhd", at + 4)
    return bytes(data)


def with_movie_matrix(mp4: bytes, a: int, b: int, c: int, d: int) -> bytes:
    """An MP4 with this matrix in its movie header."""
    data = bytearray(mp4)
    struct.pack_into(">9i", data, mp4.index(b"mvhd") + 40, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    return bytes(data)


def with_orientation(
    mp4: bytes, *, quarters: float = 0, mirrored: bool = False, flipped: bool = False, times: int = 1_000
) -> bytes:
    """The packets of an MP4 in fragments, its first `times` key frames with a display orientation message.

    H.264, D.1.27: the picture is mirrored or flipped first, then turned counter-clockwise.
    """
    bits = f"0{mirrored:b}{flipped:b}{round(quarters * 0x4000):016b}" + "010" + "0"  # until the next sequence
    payload = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    message = bytes([6, 47, len(payload)]) + payload.replace(bytes(3), b"\0\0\3\0") + b"\x80"
    out = io.BytesIO()
    options = {"movflags": "frag_keyframe+delay_moov+default_base_moof"}
    with av.open(io.BytesIO(mp4)) as read, av.open(out, "w", format="mp4", options=options) as written:
        stream = read.streams.video[0]
        copy = written.add_stream_from_template(stream)
        for packet in read.demux(stream):
            if packet.dts is None:
                continue
            is_asking = packet.is_keyframe and times > 0
            times -= is_asking
            unit = len(message).to_bytes(4, "big") + message if is_asking else b""
            ready = av.Packet(unit + bytes(packet))
            ready.pts, ready.dts, ready.duration = packet.pts, packet.dts, packet.duration
            ready.time_base, ready.is_keyframe, ready.stream = packet.time_base, packet.is_keyframe, copy
            written.mux(ready)
    return out.getvalue()


def with_projection(
    webm: bytes, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, flat: bool = True
) -> bytes:
    """The VP8 packets of a WebM in another one, with a projection in its track (RFC 9559), degrees."""
    pose = ((0x7673, yaw), (0x7674, pitch), (0x7675, roll))
    projection = element(0x7671, bytes([not flat])) + b"".join(
        element(name, struct.pack(">f", at)) for name, at in pose
    )
    video = element(0xB0, (320).to_bytes(2, "big")) + element(0xBA, (240).to_bytes(2, "big"))
    track = element(0xD7, b"\x01") + element(0x73C5, b"\x01") + element(0x83, b"\x01") + element(0x86, b"V_VP8")
    track += element(0xE0, video + element(0x7670, projection))
    head = element(0x1A45DFA3, element(0x4282, b"webm")) + bytes.fromhex("18538067 01ffffffffffffff")
    blocks = b"".join(
        element(0xA3, struct.pack(">BhB", 0x81, round(packet.pts or 0), 0x80 * packet.key) + packet.data)
        for packet in WebmDemuxer().push_bytes(webm)
    )
    cluster = element(0x1F43B675, element(0xE7, b"\0") + blocks)
    return head + element(0x1654AE6B, element(0xAE, track)) + cluster


def element(name: int, body: bytes) -> bytes:
    """An element of EBML (RFC 8794), its size in eight bytes."""
    return name.to_bytes((name.bit_length() + 7) // 8, "big") + b"\x01" + len(body).to_bytes(7, "big") + body
