"""One grey frame in every video codec, for a decoder child to warm up on; see `workers.media.isolation.warmup`.

The frames were written once by libvpx and libx264. The VP8 one is wider than what leaves a child, so that the scaler
warms up as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from talkup.v1 import media_pb2

from workers.media.isolation.warmup import Clip

_VP8 = bytes.fromhex(
    "7005009d012a000410000047088585889984880202000619c1340b24fb5edcd939c3d939c3d939c3d939c3d939c3d939c3d939700000"
)
_VP9 = bytes.fromhex("824983420000f000f60038241c184a0000306000003780")
_H264 = bytes.fromhex("000000066588843a2780")
_AVCC = bytes.fromhex("0142c00affe100146742c00ada7a10000003001000000301e8f1226a01000468ce0fc8fcfaf900")


def video_clips() -> Sequence[Clip]:
    """One clip for each video codec that is read."""
    tracks = (("vp8", b"V_VP8", b"", _VP8), ("vp9", b"V_VP9", b"", _VP9), ("h264", b"V_MPEG4/ISO/AVC", _AVCC, _H264))
    return tuple(
        Clip(
            name,
            media_pb2.MediaFormat(mime_type="video/webm", container=media_pb2.CONTAINER_WEBM),
            (_webm(codec, private, frame),),
        )
        for name, codec, private, frame in tracks
    )


def _webm(codec: bytes, private: bytes, frame: bytes) -> bytes:
    """RFC 9559: one video track, one cluster, one SimpleBlock."""
    entry = _element("d7", b"\x01") + _element("83", b"\x01") + _element("86", codec)
    if private:
        entry += _element("63a2", private)
    header = _element("1a45dfa3", b"") + bytes.fromhex("18538067") + b"\x01" + b"\xff" * 7
    cluster = _element("e7", b"\x00") + _element("a3", b"\x81\x00\x00\x80" + frame)
    return header + _element("1654ae6b", _element("ae", entry)) + _element("1f43b675", cluster)


def _element(name: str, body: bytes) -> bytes:
    return bytes.fromhex(name) + (0x4000 | len(body)).to_bytes(2, "big") + body
