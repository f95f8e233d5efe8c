"""WebM, live: EBML (RFC 8794) and Matroska (RFC 9559).

Segment and Cluster are entered, every other element is taken whole; so their unknown sizes (Chromium: always; Firefox:
the Segment) cost nothing. Any SimpleBlock or BlockGroup is a restart point: the prefix is the header, with a Segment of
unknown size, and a made-up Cluster header with the Timestamp in force.
"""

from __future__ import annotations

import re
import struct
from itertools import islice

from workers.media.containers.ebml import children_of, element_id, floating, unsigned, vint
from workers.media.containers.opus import default_head, pre_skip
from workers.media.containers.packet import (
    MAX_CANDIDATES,
    Codec,
    DamagedError,
    Demuxer,
    Incomplete,
    Packet,
    PcmEncoding,
    Track,
    check_header,
    check_size,
    check_skip,
)
from workers.media.containers.turn import UPRIGHT, Turn, turn_of_projection

_EBML = 0x1A45DFA3
_SEGMENT = 0x18538067
_INFO = 0x1549A966
_TRACKS = 0x1654AE6B
_CLUSTER = 0x1F43B675
_TIMESTAMP = 0xE7
_SIMPLE_BLOCK = 0xA3
_BLOCK_GROUP = 0xA0
_BLOCK = 0xA1
_REFERENCE_BLOCK = 0xFB
_TIMESTAMP_SCALE = 0x2AD7B1
_TRACK_ENTRY = 0xAE
_VIDEO = 0xE0
_PROJECTION = 0x7670
_IN_CLUSTER = frozenset(
    (_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP, 0xA7, 0xAB, 0xBF, 0xEC, 0x1C53BB6B, 0x1254C367)
)

_AMONG_CLUSTERS = _IN_CLUSTER | {_EBML, _SEGMENT, _INFO, _TRACKS, 0x5854, 0xAF, 0x114D9B74, 0x1043A770, 0x1941A469}
"""Also SilentTracks, EncryptedBlock, SeekHead, Chapters, Attachments, and the header of another recording."""

_UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"
_LACING, _XIPH, _FIXED = 0x06, 0x02, 0x04
_MAX_STRANGE_BYTES = 64 << 10
_CLUSTER_BYTES = _CLUSTER.to_bytes(4, "big")
_CANDIDATE = re.compile(rb"\x1f\x43\xb6\x75|\xa3")
_MAX_CANDIDATE_BYTES = 8 << 10
_MAX_STEP_MS = 60_000

_CODECS = {
    b"A_OPUS": Codec.OPUS,
    b"A_FLAC": Codec.FLAC,
    b"A_MPEG/L1": Codec.MP3,
    b"A_MPEG/L2": Codec.MP3,
    b"A_MPEG/L3": Codec.MP3,
    b"A_VORBIS": Codec.VORBIS,
    b"A_ALAC": Codec.ALAC,
    b"A_AAC": Codec.AAC,
    b"A_PCM/INT/LIT": Codec.PCM,
    b"A_PCM/INT/BIG": Codec.PCM,
    b"A_PCM/FLOAT/IEEE": Codec.PCM,
    b"V_VP8": Codec.VP8,
    b"V_VP9": Codec.VP9,
    b"V_AV1": Codec.AV1,
    b"V_MPEG4/ISO/AVC": Codec.H264,
}
_PCM = {
    (b"A_PCM/INT/LIT", 8): PcmEncoding.U8,
    (b"A_PCM/INT/LIT", 16): PcmEncoding.S16,
    (b"A_PCM/INT/LIT", 24): PcmEncoding.S24,
    (b"A_PCM/INT/LIT", 32): PcmEncoding.S32,
    (b"A_PCM/INT/BIG", 16): PcmEncoding.S16_BIG,
    (b"A_PCM/FLOAT/IEEE", 32): PcmEncoding.F32,
    (b"A_PCM/FLOAT/IEEE", 64): PcmEncoding.F64,
}

_KINDS = {1: "video", 2: "audio"}
_NAMES = {
    "A_AC3": "AC-3",
    "A_EAC3": "E-AC-3",
    "A_DTS": "DTS",
    "A_TRUEHD": "TrueHD",
    "A_MS/ACM": "an ACM codec",
    "V_MPEGH/ISO/HEVC": "HEVC (H.265)",
    "V_MPEG4/ISO/ASP": "MPEG-4 Part 2",
    "V_THEORA": "Theora",
}
_HEADER_STRIPPING = 3
_MAX_STRIPPED_BYTES = 64


def _track(entry: bytes) -> tuple[Track, bytes]:
    """A track, and the bytes that were stripped from the front of each of its frames."""
    fields = dict(children_of(entry))
    audio = dict(children_of(fields.get(0xE1, b"")))
    name = fields.get(0x86, b"").rstrip(b"\0")
    number, kind = unsigned(fields[0xD7]), _KINDS.get(unsigned(fields.get(0x83, b"")), "")
    codec = _CODECS.get(name, Codec.UNKNOWN)
    rate = floating(audio.get(0xB5, b""), 8000.0)
    channels = unsigned(audio.get(0x9F, b"\x01"))
    private = fields.get(0x63A2, b"")
    if not 0 <= rate <= 768_000:  # NaN fails this too
        raise DamagedError("a sample rate is out of range")
    delay = min(unsigned(fields.get(0x56AA, b"")) * int(rate) // 10**9, int(rate))  # CodecDelay, nanoseconds
    delay = 0 if codec is Codec.VORBIS else delay  # its decoder keeps back its first packet
    if codec is Codec.OPUS:
        rate = 48000.0
        private = private if len(private) >= 19 else default_head(2 if channels == 2 else 1)
        delay = pre_skip(private)
    if codec is Codec.FLAC:
        private = private[8:42] if private[:4] == b"fLaC" else private
    if codec is Codec.ALAC:
        private = struct.pack(">I4s4x", 12 + len(private), b"alac") + private
    pcm = _PCM.get((name, unsigned(audio.get(0x6264, b""))))
    stripped = _stripped(fields.get(0x6D80, b""))
    if stripped is None or (codec is Codec.PCM and pcm is None):
        codec = Codec.UNKNOWN
    if codec is Codec.UNKNOWN:
        shown = _shown(name) if stripped is not None else "compressed or encrypted"
        return Track(number, codec, name=shown, kind=kind), b""
    turn = _turn(fields.get(_VIDEO, b""))
    return Track(number, codec, private, int(rate), channels, delay, pcm, turn=turn), stripped or b""


def _turn(video: bytes) -> Turn:
    """How the pictures of a track are to be turned, where it has any."""
    try:
        projection = dict(children_of(dict(children_of(video)).get(_PROJECTION, b"")))
    except DamagedError:  # what is seen does not depend on it
        return UPRIGHT
    yaw, pitch, roll = (floating(projection.get(element, b""), 0.0) for element in (0x7673, 0x7674, 0x7675))
    return UPRIGHT if unsigned(projection.get(0x7671, b"")) else turn_of_projection(yaw, pitch, roll)


def _stripped(encodings: bytes) -> bytes | None:
    """What header stripping (RFC 9559, 5.1.4.1.31) took from the frames; None: they are packed in another way."""
    stripped = b""
    for _, encoding in children_of(encodings):
        fields = dict(children_of(encoding))
        compression = dict(children_of(fields.get(0x5034, b"")))
        if 0x5035 in fields or unsigned(compression.get(0x4254, b"\0")) != _HEADER_STRIPPING:
            return None
        stripped = compression.get(0x4255, b"") + stripped
    return stripped if len(stripped) <= _MAX_STRIPPED_BYTES else None


def _shown(name: bytes) -> str:
    text = name.decode("ascii", "replace")
    return _NAMES.get(text, text if text.replace("/", "").replace("_", "").isalnum() else "of an unknown codec")


def _frames(data: bytes, lacing: int) -> list[bytes]:
    """The frames of a block's body, however they are laced (RFC 9559, 10.3)."""
    if not lacing:
        return [data]
    count, at = data[0] + 1, 1
    sizes: list[int] = []
    while lacing != _FIXED and len(sizes) < count - 1:
        if lacing == _XIPH:
            size = 0
            while data[at] == 255:
                size, at = size + 255, at + 1
            size, at = size + data[at], at + 1
        else:
            value, length = vint(data, at)
            middle = (1 << (7 * length - 1)) - 1  # differences are written around it
            size, at = (value or 0) + (sizes[-1] - middle if sizes else 0), at + length
        sizes.append(size)
    rest = len(data) - at
    if lacing == _FIXED:
        sizes = [rest // count] * (count - 1)
    last = rest - sum(sizes)
    if min(last, *sizes, 0) < 0 or (lacing == _FIXED and rest % count):
        raise DamagedError("the frames of a block are larger than it is")
    frames = []
    for size in [*sizes, last]:
        frames.append(data[at : at + size])
        at += size
    return frames


class WebmDemuxer(Demuxer):
    """Bytes of a WebM or Matroska recording to packets of all its tracks."""

    def __init__(self) -> None:
        super().__init__()
        self._header = b""
        self._timestamp = 0
        self._scale = 1.0
        self._in_clusters = False
        self._last_pts = 0.0
        self._stripped: dict[int, bytes] = {}

    def prefix(self, anchor: int) -> bytes:
        """EBML, Segment, Info, Tracks and a Cluster whose Timestamp is `anchor`."""
        return self._header + _CLUSTER_BYTES + _UNKNOWN + b"\xe7\x88" + struct.pack(">Q", anchor)

    def _step(self, packets: list[Packet]) -> int:
        buffer = self._buffer
        element, id_length = element_id(buffer, 0)
        if not self._header and element != _EBML:
            raise DamagedError("it does not begin with EBML")
        size, size_length = vint(buffer, id_length)
        head = id_length + size_length
        if self._in_clusters and self._is_strange(element, head):
            return self._past_strange(head, size)
        if element in (_SEGMENT, _CLUSTER):
            self._enter(element)
            return head
        if size is None:
            raise DamagedError("an element has no size")
        if not self._is_read(element):
            return check_skip(head + size)
        check_size(size)
        if head + size > len(buffer):
            raise Incomplete
        data = bytes(buffer[head : head + size])
        if self._in_clusters:
            self._cluster_child(element, data, packets)
        else:
            self._header = check_header(self._header + bytes(buffer[: head + size]))
            self._header_child(element, data)
        return head + size

    def _broken_off(self) -> int:
        """A block whose end is missing. A piece of its head is none: Chrome 57 ends slices with one."""
        try:
            element, length = element_id(self._buffer, 0)
            vint(self._buffer, length)
        except (Incomplete, DamagedError):
            return 0
        return len(self._buffer) if element in (_SIMPLE_BLOCK, _BLOCK_GROUP) else 0

    def _is_strange(self, element: int, head: int) -> bool:
        """Whether an element does not belong among clusters, or is a block of a track that is not there."""
        if element not in _AMONG_CLUSTERS:
            return True
        return element == _SIMPLE_BLOCK and vint(self._buffer, head)[0] not in self.tracks

    def _past_strange(self, head: int, size: int | None) -> int:
        """The size of an element of an unknown kind (RFC 8794, 6.2), where something known follows it; else damage."""
        if size is not None and size <= _MAX_STRANGE_BYTES:
            if len(self._buffer) < head + size + 4:
                raise Incomplete
            if element_id(self._buffer, head + size)[0] in _AMONG_CLUSTERS:
                return head + size
        raise DamagedError("not an element of a cluster")

    def _is_read(self, element: int) -> bool:
        if self._in_clusters:
            return element in (_TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP)
        return element in (_EBML, _INFO, _TRACKS)

    def _enter(self, element: int) -> None:
        if element == _CLUSTER:
            if not self.tracks:
                raise DamagedError("it has no tracks")
            self._in_clusters = True
        elif not self._in_clusters:
            self._header = check_header(self._header + _SEGMENT.to_bytes(4, "big") + _UNKNOWN)

    def _header_child(self, element: int, data: bytes) -> None:
        if element == _INFO:
            self._scale = (unsigned(dict(children_of(data)).get(_TIMESTAMP_SCALE, b"")) or 1_000_000) / 1e6
        elif element == _TRACKS:
            tracks = [_track(entry) for number, entry in children_of(data) if number == _TRACK_ENTRY]
            self.tracks = {track.number: track for track, _ in tracks}
            self._stripped = {track.number: stripped for track, stripped in tracks if stripped}

    def _cluster_child(self, element: int, data: bytes, packets: list[Packet]) -> None:
        if element == _TIMESTAMP:
            self._timestamp = unsigned(data)
        elif element == _SIMPLE_BLOCK:
            packets += self._block(data, key=bool(data[2 + vint(data, 0)[1]] & 0x80))
        else:
            children = children_of(data)
            self._effort = len(children)
            group = dict(children)
            packets += self._block(group[_BLOCK], key=_REFERENCE_BLOCK not in group)

    def _block(self, data: bytes, *, key: bool) -> list[Packet]:
        """The frames of a block; only the first of several has a time of its own."""
        track, length = vint(data, 0)
        relative, flags = struct.unpack_from(">hB", data, length)
        stripped = self._stripped.get(track or 0, b"")
        frames = [stripped + frame for frame in _frames(data[length + 3 :], flags & _LACING)]
        self._last_pts = (self._timestamp + relative) * self._scale
        return [
            Packet(
                track or 0, frame, self.position, pts=None if at else self._last_pts, key=key, anchor=self._timestamp
            )
            for at, frame in enumerate(frames)
        ]

    def _seek(self) -> int:
        """The next Cluster, or the next audio SimpleBlock that is later than the last and followed by an element."""
        buffer = self._buffer
        looked = 0
        for match in islice(_CANDIDATE.finditer(buffer), MAX_CANDIDATES):
            at = match.start()
            looked += 1
            self._effort += 1
            try:
                good = self._is_cluster(at) if buffer[at] == 0x1F else self._is_block(at)
            except Incomplete:
                if at:
                    return at
                raise
            except DamagedError:
                good = False
            if good:
                return at
        if looked == MAX_CANDIDATES:
            return at + 1
        if len(buffer) > 3:
            return len(buffer) - 3
        raise Incomplete

    def _is_cluster(self, at: int) -> bool:
        _, length = vint(self._buffer, at + 4)
        element, _ = element_id(self._buffer, at + 4 + length)
        return element in (_TIMESTAMP, 0xBF)

    def _is_block(self, at: int) -> bool:
        buffer = self._buffer
        size, length = vint(buffer, at + 1)
        body = at + 1 + length
        if size is None or not 4 < size <= _MAX_CANDIDATE_BYTES:
            return False
        number, number_length = vint(buffer, body)
        if number not in self.tracks or self.tracks[number].codec.is_video:
            return False
        if len(buffer) < body + number_length + 3:
            raise Incomplete
        relative, flags = struct.unpack_from(">hB", buffer, body + number_length)
        pts = (self._timestamp + relative) * self._scale
        if flags & 0x7E or not self._last_pts < pts <= self._last_pts + _MAX_STEP_MS:
            return False
        return element_id(buffer, body + size)[0] in _IN_CLUSTER
