"""Which container a recording is, by its first bytes, whatever its name says; and the demuxer for it.

Firefox writes Ogg under the name audio/webm, so the bytes decide. Formats without a header go by their name. Under a
name that says nothing (`audio`), a stream of MPEG or AAC frames may begin anywhere: it is looked for.
"""

from __future__ import annotations

from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.containers import (
    adts,
    aiff,
    amr,
    au,
    caf,
    flac,
    mp3,
    mp4,
    ogg,
    opus,
    raw,
    refused,
    synced,
    tags,
    wav,
    webm,
)
from workers.media.containers.packet import Demuxer, PcmEncoding
from workers.media.errors import MediaError

ENOUGH_BYTES = 12
"""With this many bytes the magic no longer changes the answer."""

_FIRST_SCAN_BYTES, _SCAN_BYTES = 512, 16 << 10
"""How far frames are looked for in a stream without a magic, in steps that double."""

_MAX_WAITING_CHUNKS = 65_536
_MAX_TAGS = 64

_MAGIC: tuple[tuple[int, bytes, media_pb2.Container], ...] = (
    (0, b"\x1a\x45\xdf\xa3", media_pb2.CONTAINER_WEBM),
    (0, b"OggS", media_pb2.CONTAINER_OGG),
    (0, b"fLaC", media_pb2.CONTAINER_FLAC),
    (0, b"RIFF", media_pb2.CONTAINER_WAV),
    (0, b"RF64", media_pb2.CONTAINER_WAV),
    (0, b"BW64", media_pb2.CONTAINER_WAV),
    (0, b"FORM", media_pb2.CONTAINER_AIFF),
    (0, b".snd", media_pb2.CONTAINER_AU),
    (0, b"caff", media_pb2.CONTAINER_CAF),
    (0, b"#!AMR", media_pb2.CONTAINER_AMR),
    (0, tags.ID3V2, media_pb2.CONTAINER_MP3),
    *((4, box, media_pb2.CONTAINER_MP4) for box in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")),
)
_NAMED = ("audio/webm", "video/webm", "audio/ogg", "audio/mp4", "video/mp4", "audio/x-matroska", "video/x-matroska")
_HEADERLESS = (media_pb2.CONTAINER_PCM, media_pb2.CONTAINER_OPUS_PACKETS)
_DECLARED = {
    media_pb2.CONTAINER_WEBM,
    media_pb2.CONTAINER_OGG,
    media_pb2.CONTAINER_MP4,
    media_pb2.CONTAINER_MP3,
    media_pb2.CONTAINER_FLAC,
    media_pb2.CONTAINER_WAV,
    media_pb2.CONTAINER_ADTS,
    media_pb2.CONTAINER_AIFF,
    media_pb2.CONTAINER_AU,
    media_pb2.CONTAINER_CAF,
    media_pb2.CONTAINER_AMR,
}
_PCM = {
    media_pb2.PCM_ENCODING_S16LE: PcmEncoding.S16,
    media_pb2.PCM_ENCODING_S16BE: PcmEncoding.S16_BIG,
    media_pb2.PCM_ENCODING_F32LE: PcmEncoding.F32,
    media_pb2.PCM_ENCODING_MULAW: PcmEncoding.MULAW,
    media_pb2.PCM_ENCODING_ALAW: PcmEncoding.ALAW,
}


def recognise(fmt: media_pb2.MediaFormat, start: bytes) -> media_pb2.Container | None:
    """The container of a recording that begins with `start`; None: more bytes are needed.

    Magic wins over the declared container; without magic the declared one holds, and for a declared Opus codec without
    a container bare packets do. Raises MediaError for anything else.
    """
    if fmt.container in _HEADERLESS:
        return fmt.container
    undecided = False
    for offset, magic, container in _MAGIC:
        seen = start[offset : offset + len(magic)]
        if seen == magic:
            return container
        undecided |= magic.startswith(seen)
    if fmt.container in _DECLARED:
        return None if undecided and len(start) < ENOUGH_BYTES else fmt.container
    bare_opus = _is_bare_opus(fmt)
    if not bare_opus and len(start) < 4:
        return None
    if not bare_opus and mp3.parse_header(start):
        return media_pb2.CONTAINER_MP3
    if not bare_opus and start[0] == 0xFF and start[1] & 0xF6 == 0xF0:
        return media_pb2.CONTAINER_ADTS
    if undecided and len(start) < ENOUGH_BYTES:
        return None
    if bare_opus:
        return media_pb2.CONTAINER_OPUS_PACKETS
    raise refused.refusal(start)


class Sniffer:
    """Takes a recording's first chunks until its container is known, and passes over ID3v2 tags in front of it."""

    def __init__(self, fmt: media_pb2.MediaFormat) -> None:
        self.container = 0
        self._format = fmt
        self._chunks: list[Chunk] = []
        self._head = bytearray()
        self._tag_bytes = 0  # at the start of the kept chunks
        self._to_pass = 0
        self._tags = 0
        self._next_scan = _FIRST_SCAN_BYTES

    def push_chunk(self, chunk: Chunk) -> list[tuple[Chunk, int]]:
        """The chunks to demux, each with how many of its first bytes are tags; none while the container is not known.

        Raises MediaError for what is not read.
        """
        self._chunks.append(chunk)
        passed = min(self._to_pass, len(chunk.payload))
        self._to_pass -= passed
        self._tag_bytes += passed
        self._head += chunk.payload[passed:]
        if self._format.container not in _HEADERLESS:
            self._pass_tags()
        while self._tags and self._chunks and len(self._chunks[0].payload) <= self._tag_bytes:
            self._tag_bytes -= len(self._chunks.pop(0).payload)
        if len(self._chunks) > _MAX_WAITING_CHUNKS:
            raise MediaError("the recording has too many empty chunks")
        return self._decided(end=False)

    def finish(self) -> list[tuple[Chunk, int]]:
        """No more bytes: as `push_chunk`, but what has come must do. Raises MediaError where it does not."""
        if self._to_pass or (not self._head and self._tags):
            raise MediaError("the recording ends inside the tag in front of it")
        return self._decided(end=True) if self._head else []

    def _pass_tags(self) -> None:
        while not self._to_pass and self._head[:3] == tags.ID3V2 and len(self._head) >= tags.ID3V2_HEAD_BYTES:
            size = tags.id3v2_size(self._head)
            here = min(size, len(self._head))
            del self._head[:here]
            self._tag_bytes += here
            self._to_pass = size - here
            self._tags += 1
            if self._tags > _MAX_TAGS:
                raise MediaError("the recording has too many tags in front of it")

    def _decided(self, *, end: bool) -> list[tuple[Chunk, int]]:
        container = None if self._to_pass else self._recognise(bytes(self._head), end=end)
        if container is None:
            return []
        self.container = container
        chunks, self._chunks = self._chunks, []
        return [(chunk, 0 if index else self._tag_bytes) for index, chunk in enumerate(chunks)]

    def _recognise(self, head: bytes, *, end: bool) -> int | None:
        if self._format.container in _HEADERLESS or _is_bare_opus(self._format):
            return recognise(self._format, head)
        if len(head) < refused.MAGIC_BYTES and not end:
            return None
        refused.check_magic(head)
        if not _may_be_frames(self._format):
            return recognise(self._format, head.ljust(ENOUGH_BYTES, b"\0") if end else head)
        container = _by_magic(head) or _by_frame(head)
        while not container and not end and self._next_scan <= min(len(head), _SCAN_BYTES):
            container = _by_frames(head[: self._next_scan])
            self._next_scan *= 2
        if container or (self._next_scan <= _SCAN_BYTES and not end):
            return container or None
        return self._fallback(head[:_SCAN_BYTES])

    def _fallback(self, head: bytes) -> int:
        """What a stream without magic is: the frames that are found in it, else its name, else what tags belong to."""
        found = _by_frames(head)
        if found or self._format.container in _DECLARED:
            return found or self._format.container
        if self._tags:
            return media_pb2.CONTAINER_MP3
        raise refused.refusal(head)


def _is_bare_opus(fmt: media_pb2.MediaFormat) -> bool:
    mime_type = fmt.mime_type.lower()
    return fmt.container not in _DECLARED and "opus" in mime_type and not mime_type.startswith(_NAMED)


def _may_be_frames(fmt: media_pb2.MediaFormat) -> bool:
    """Whether a stream of this name may begin inside a frame."""
    if fmt.container == media_pb2.CONTAINER_SNIFF:
        return not fmt.mime_type.lower().startswith(_NAMED)
    return fmt.container in (media_pb2.CONTAINER_MP3, media_pb2.CONTAINER_ADTS)


def _by_magic(head: bytes) -> int:
    return next((container for offset, magic, container in _MAGIC if head.startswith(magic, offset)), 0)


def _by_frame(head: bytes) -> int:
    """By a single frame header that the bytes begin with."""
    if len(head) >= mp3.HEAD_BYTES and mp3.parse_header(head):
        return media_pb2.CONTAINER_MP3
    if len(head) >= adts.HEAD_BYTES and adts.parse_header(head):
        return media_pb2.CONTAINER_ADTS
    return 0


def _by_frames(head: bytes) -> int:
    """By frames in a row, anywhere; 0: there are none."""
    if synced.are_frames(head, mp3.parse_header, mp3.HEAD_BYTES):
        return media_pb2.CONTAINER_MP3
    if synced.are_frames(head, adts.parse_header, adts.HEAD_BYTES):
        return media_pb2.CONTAINER_ADTS
    return 0


def make_demuxer(container: int, fmt: media_pb2.MediaFormat, *, resumed: bool = False) -> Demuxer:
    """The demuxer of `container`. Raises MediaError for a format that holds no audio or has wrong parameters."""
    match container:
        case media_pb2.CONTAINER_WEBM:
            return webm.WebmDemuxer()
        case media_pb2.CONTAINER_OGG:
            return ogg.OggDemuxer(resumed=resumed)
        case media_pb2.CONTAINER_MP4:
            return mp4.Mp4Demuxer(resumed=resumed)
        case media_pb2.CONTAINER_MP3:
            return mp3.Mp3Demuxer(resumed=resumed)
        case media_pb2.CONTAINER_FLAC:
            return flac.FlacDemuxer()
        case media_pb2.CONTAINER_WAV:
            return wav.WavDemuxer()
        case media_pb2.CONTAINER_ADTS:
            return adts.AdtsDemuxer(resumed=resumed)
        case media_pb2.CONTAINER_AMR:
            return amr.AmrDemuxer()
        case media_pb2.CONTAINER_AIFF:
            return aiff.AiffDemuxer(resumed=resumed)
        case media_pb2.CONTAINER_AU:
            return au.AuDemuxer(resumed=resumed)
        case media_pb2.CONTAINER_CAF:
            return caf.CafDemuxer(resumed=resumed)
        case media_pb2.CONTAINER_OPUS_PACKETS:
            return opus.OpusPacketDemuxer(2 if fmt.channels == 2 else 1)
        case media_pb2.CONTAINER_PCM if fmt.pcm_encoding in _PCM:
            rate, channels = fmt.sample_rate or 16_000, fmt.channels or 1
            return raw.PcmDemuxer(_PCM[fmt.pcm_encoding], rate, channels)
    raise MediaError("the format holds no audio that is read here")
