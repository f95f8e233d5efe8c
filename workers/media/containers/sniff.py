"""Which container a recording is, by its first bytes, whatever its name says; and the demuxer for it.

Firefox writes Ogg under the name audio/webm, so the bytes decide. Formats without a header go by their name.
"""

from __future__ import annotations

from talkup.v1 import media_pb2

from workers.media.containers import flac, mp3, mp4, ogg, opus, raw, wav, webm
from workers.media.containers.packet import Demuxer, PcmEncoding
from workers.media.errors import MediaError

ENOUGH_BYTES = 12
"""With this many bytes the answer no longer changes."""

_MAGIC: tuple[tuple[int, bytes, media_pb2.Container], ...] = (
    (0, b"\x1a\x45\xdf\xa3", media_pb2.CONTAINER_WEBM),
    (0, b"OggS", media_pb2.CONTAINER_OGG),
    (0, b"fLaC", media_pb2.CONTAINER_FLAC),
    (0, b"RIFF", media_pb2.CONTAINER_WAV),
    (0, b"RF64", media_pb2.CONTAINER_WAV),
    (0, b"BW64", media_pb2.CONTAINER_WAV),
    (0, b"ID3", media_pb2.CONTAINER_MP3),
    (4, b"ftyp", media_pb2.CONTAINER_MP4),
    (4, b"moov", media_pb2.CONTAINER_MP4),
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
    a container bare packets do. Raises MediaError for what is none of these.
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
    mime_type = fmt.mime_type.lower()
    bare_opus = "opus" in mime_type and not mime_type.startswith(_NAMED)
    if not bare_opus and len(start) < 4:
        return None
    if not bare_opus and mp3.parse_header(start):
        return media_pb2.CONTAINER_MP3
    if undecided and len(start) < ENOUGH_BYTES:
        return None
    if bare_opus:
        return media_pb2.CONTAINER_OPUS_PACKETS
    raise MediaError("the first bytes are of no known container")


def make_demuxer(container: int, fmt: media_pb2.MediaFormat, *, resumed: bool = False) -> Demuxer:
    """The demuxer of `container`. Raises MediaError for a format that holds no audio or has wrong parameters."""
    match container:
        case media_pb2.CONTAINER_WEBM:
            return webm.WebmDemuxer()
        case media_pb2.CONTAINER_OGG:
            return ogg.OggDemuxer(resumed=resumed)
        case media_pb2.CONTAINER_MP4:
            return mp4.Mp4Demuxer()
        case media_pb2.CONTAINER_MP3:
            return mp3.Mp3Demuxer(resumed=resumed)
        case media_pb2.CONTAINER_FLAC:
            return flac.FlacDemuxer()
        case media_pb2.CONTAINER_WAV:
            return wav.WavDemuxer()
        case media_pb2.CONTAINER_OPUS_PACKETS:
            return opus.OpusPacketDemuxer(2 if fmt.channels == 2 else 1)
        case media_pb2.CONTAINER_PCM if fmt.pcm_encoding in _PCM:
            rate, channels = fmt.sample_rate or 16_000, fmt.channels or 1
            return raw.PcmDemuxer(_PCM[fmt.pcm_encoding], rate, channels)
    raise MediaError("the format holds no audio that is read here")
