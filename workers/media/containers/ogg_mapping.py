"""What Ogg streams of sound begin with, by codec: their header packets, and how long a packet lasts."""

from __future__ import annotations

from abc import ABC, abstractmethod

from workers.media.containers import flac
from workers.media.containers.opus import RATE, packet_samples, pre_skip
from workers.media.containers.packet import Codec, DamagedError, Incomplete, Track

_OPUS, _VORBIS, _FLAC = b"OpusHead", b"\x01vorbis", b"\x7fFLAC"
AUDIO_HEADS = (_OPUS, _VORBIS, _FLAC)
COMMENTS = (b"OpusTags", b"\x03vorbis")
"""What packets begin with that hold titles and pictures; nothing in them is needed."""

_TRACK = 1
_FLAC_HEAD_BYTES = 51
_FLAC_INFO = 17
_NO_COMMENTS = b"\x03vorbis" + bytes(8) + b"\x01"
_OTHERS = {
    b"Speex   ": "Speex",
    b"\x80theora": "Theora video",
    b"OVP80": "VP8 video",
    b"BBCD": "Dirac video",
    b"PCM     ": "OggPCM",
    b"CELT    ": "CELT",
    b"fishead": "no sound",
}


def other_name(head: bytes) -> str:
    """The name of a stream that is not read, by its first packet."""
    return next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "an unknown codec")


class Mapping(ABC):
    """The headers of one stream; `track` is right once `is_complete`."""

    has_pts = True
    headers_in_band = False
    """Whether the decoder must see the headers of a later link."""

    track: Track
    rate: int
    is_complete = True

    @abstractmethod
    def headers(self) -> list[bytes]:
        """The header packets that a successor needs."""

    @abstractmethod
    def read_header(self, data: bytes) -> bool:
        """Whether a packet is a header; it is remembered then. Raises DamagedError."""

    @abstractmethod
    def samples(self, data: bytes) -> int:
        """How long a packet lasts, in samples; 0 where only the decoder knows."""


def begin_mapping(head: bytes) -> Mapping:
    """The mapping for a stream whose first packet begins with one of `AUDIO_HEADS`. Raises DamagedError."""
    if head.startswith(_OPUS):
        return _OpusMapping(head)
    return _VorbisMapping() if head.startswith(_VORBIS) else _FlacMapping(head)


class _OpusMapping(Mapping):
    rate = RATE

    def __init__(self, head: bytes) -> None:
        if not 19 <= len(head) < 255:
            raise DamagedError("the header of Opus has a wrong size")
        self._head = head
        self.track = Track(_TRACK, Codec.OPUS, head, RATE, head[9], pre_skip(head))

    def headers(self) -> list[bytes]:
        return [self._head]

    def read_header(self, data: bytes) -> bool:
        return data.startswith((_OPUS, b"OpusTags"))

    def samples(self, data: bytes) -> int:
        return packet_samples(data)


class _VorbisMapping(Mapping):
    """Three headers: identification, comments, setup."""

    has_pts = False
    headers_in_band = True
    rate = 1

    def __init__(self) -> None:
        self.is_complete = False
        self._identification = b""
        self._setup = b""
        self.track = Track(_TRACK, Codec.VORBIS)

    def headers(self) -> list[bytes]:
        return [self._identification, _NO_COMMENTS, self._setup]

    def read_header(self, data: bytes) -> bool:
        if not data[:1] or not data[0] & 1:
            return False
        if data[1:7] != b"vorbis":
            raise DamagedError("a header of Vorbis is damaged")
        if data[0] == 1:
            if len(data) != 30:
                raise DamagedError("the header of Vorbis has a wrong size")
            self._identification = data
        elif data[0] == 5:
            self._setup = data
            self.is_complete = True
            channels, rate = data_format(self._identification)
            laced = b"\x02" + bytes([len(self._identification)]) + bytes([len(_NO_COMMENTS)])
            self.track = Track(_TRACK, Codec.VORBIS, laced + b"".join(self.headers()), rate, channels)
        return True

    def samples(self, data: bytes) -> int:
        del data
        return 0


def data_format(identification: bytes) -> tuple[int, int]:
    """Channels and samples a second of a Vorbis identification header."""
    return identification[11], int.from_bytes(identification[12:16], "little")


class _FlacMapping(Mapping):
    """STREAMINFO in the first packet; other metadata blocks follow."""

    def __init__(self, head: bytes) -> None:
        if len(head) != _FLAC_HEAD_BYTES:
            raise DamagedError("the header of FLAC has a wrong size")
        self._head = head
        info = head[_FLAC_INFO:]
        packed = int.from_bytes(info[10:14], "big")
        self.rate = packed >> 12
        if not self.rate:
            raise DamagedError("STREAMINFO has no sample rate")
        self.track = Track(_TRACK, Codec.FLAC, info, self.rate, (packed >> 9 & 7) + 1)

    def headers(self) -> list[bytes]:
        return [self._head]

    def read_header(self, data: bytes) -> bool:
        return data[:1] != b"\xff"

    def samples(self, data: bytes) -> int:
        try:
            header = flac.parse_header(bytearray(data), 0)
        except Incomplete:
            return 0
        return header.samples if header else 0
