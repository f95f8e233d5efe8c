"""A few tens of milliseconds of silence in every codec, made on the spot.

A decoder child decodes them before it locks itself in: whatever a codec loads, binds or allocates at its first use then
happens while that is still allowed. One clip a codec; the containers differ in pure Python only and need none.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from talkup.v1 import media_pb2


@dataclass(frozen=True, slots=True)
class Clip:
    """A silent recording, in the chunks that a stream would bring."""

    codec: str
    format: media_pb2.MediaFormat
    chunks: tuple[bytes, ...]


def audio_clips() -> Sequence[Clip]:
    """One clip for each audio codec of the contract."""
    return (
        Clip("opus", _format("audio/opus", media_pb2.CONTAINER_OPUS_PACKETS), (_OPUS_PACKET,) * 3),
        Clip("mp3", _format("audio/mpeg", media_pb2.CONTAINER_MP3), (_MP3_FRAME * 4,)),
        Clip("flac", _format("audio/flac", media_pb2.CONTAINER_FLAC), (_flac(frames=3),)),
        Clip("aac", _format("audio/mp4", media_pb2.CONTAINER_MP4), (_mp4_header(), _mp4_fragment(frames=3))),
        Clip("aac in one piece", _format("audio/mp4", media_pb2.CONTAINER_MP4), (_mp4_in_one_piece(frames=3),)),
        Clip("adpcm_ms", _format("audio/wav", media_pb2.CONTAINER_WAV), (_wav(0x02, _ADPCM_MS, bytes(256)),)),
        Clip("adpcm_ima", _format("audio/wav", media_pb2.CONTAINER_WAV), (_wav(0x11, _ADPCM_IMA, bytes(256)),)),
        Clip("gsm_ms", _format("audio/wav", media_pb2.CONTAINER_WAV), (_wav(0x31, _GSM, bytes(65) * 3),)),
        Clip("amr_nb", _format("audio/amr", media_pb2.CONTAINER_AMR), (b"#!AMR\n" + _AMR_FRAME * 3,)),
        *(
            Clip(name, _pcm(encoding), (bytes(1024),))
            for name, encoding in (
                ("pcm_s16le", media_pb2.PCM_ENCODING_S16LE),
                ("pcm_s16be", media_pb2.PCM_ENCODING_S16BE),
                ("pcm_f32le", media_pb2.PCM_ENCODING_F32LE),
                ("mulaw", media_pb2.PCM_ENCODING_MULAW),
                ("alaw", media_pb2.PCM_ENCODING_ALAW),
            )
        ),
    )


def _format(mime_type: str, container: media_pb2.Container) -> media_pb2.MediaFormat:
    return media_pb2.MediaFormat(mime_type=mime_type, container=container)


def _pcm(encoding: media_pb2.PcmEncoding) -> media_pb2.MediaFormat:
    return media_pb2.MediaFormat(
        mime_type="audio/pcm",
        container=media_pb2.CONTAINER_PCM,
        pcm_encoding=encoding,
        sample_rate=48000,  # not 16 kHz: the resampler warms up as well
        channels=1,
    )


# RFC 6716 section 3.1: configuration 31 (CELT, fullband, 20 ms), mono, one frame; its two bytes code silence.
_OPUS_PACKET = b"\xf8\xff\xfe"

# ISO 11172-3: layer III, 32 kbit/s, 44.1 kHz, mono, no CRC: 104 bytes; side information of zeros is silence.
_MP3_FRAME = b"\xff\xfb\x10\xc4" + bytes(100)

# ISO 14496-3: one AAC-LC frame, mono: a single channel element without any section, then the end element.
_AAC_FRAME = bytes.fromhex("00000007")
_AAC_CONFIG = bytes.fromhex("1208")  # AAC-LC, 44.1 kHz, one channel
_AAC_FRAME_SAMPLES = 1024
_RATE = 44100


_AMR_FRAME = b"\x3c" + bytes(31)  # RFC 4867 section 5.3: 12.2 kbit/s, 20 ms

# The ends of WAV format chunks (RFC 2361): bytes a block, bits a sample, extra bytes, samples a block, coefficients.
_ADPCM_IMA = struct.pack("<HHHH", 256, 4, 2, 505)
_ADPCM_MS = struct.pack("<HHHHH14h", 256, 4, 32, 500, 7, 256, 0, 512, -256, 0, 0, 192, 64, 240, 0, 460, -208, 392, -232)
_GSM = struct.pack("<HHHH", 65, 0, 2, 320)


def _wav(kind: int, end: bytes, samples: bytes) -> bytes:
    """RIFF WAVE, mono at 8 kHz."""
    head = struct.pack("<HHII", kind, 1, 8_000, 4_096) + end
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _flac(frames: int) -> bytes:
    """RFC 9639: STREAMINFO, then frames of 192 samples in one constant subframe each."""
    rate_channels_bits = (_RATE << 44) | (0 << 41) | (15 << 36)
    info = struct.pack(">HH6xQ16x", 192, 192, rate_channels_bits)
    return b"fLaC" + b"\x80" + len(info).to_bytes(3, "big") + info + b"".join(map(_flac_frame, range(frames)))


def _flac_frame(number: int) -> bytes:
    header = b"\xff\xf8\x19\x08" + bytes([number])  # 192 samples, 44.1 kHz; mono, 16 bit
    body = header + bytes([_crc(header, 8, 0x07)]) + b"\x00" + b"\x00\x00"
    return body + _crc(body, 16, 0x8005).to_bytes(2, "big")


def _crc(data: bytes, bits: int, polynomial: int) -> int:
    register, top, mask = 0, 1 << (bits - 1), (1 << bits) - 1
    for byte in data:
        register ^= byte << (bits - 8)
        for _ in range(8):
            register = ((register << 1) ^ (polynomial if register & top else 0)) & mask
    return register


def _box(name: bytes, *parts: bytes) -> bytes:
    """ISO 14496-12 section 4.2."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name) + body


_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _mp4_header() -> bytes:
    """ftyp and moov of a fragmented file with one AAC track."""
    tables = b"".join(_box(name, bytes(8)) for name in (b"stts", b"stsc", b"stco")) + _box(b"stsz", bytes(12))
    extends = _box(b"mvex", _box(b"trex", struct.pack(">4xIIIII", 1, 1, _AAC_FRAME_SAMPLES, 0, 0)))
    return _movie(tables, extends)


def _mp4_in_one_piece(frames: int) -> bytes:
    """The same track with all its samples in one chunk, the index in front."""

    def header(offset: int) -> bytes:
        return _movie(
            _box(b"stts", struct.pack(">4xIII", 1, frames, _AAC_FRAME_SAMPLES))
            + _box(b"stsc", struct.pack(">4xIIII", 1, 1, frames, 1))
            + _box(b"stco", struct.pack(">4xII", 1, offset))
            + _box(b"stsz", struct.pack(">4xII", len(_AAC_FRAME), frames))
        )

    return header(len(header(0)) + 8) + _box(b"mdat", _AAC_FRAME * frames)


def _movie(tables: bytes, extends: bytes = b"") -> bytes:
    """ftyp and moov with one AAC track."""
    sample_entry = _box(
        b"mp4a", struct.pack(">6xH8xHHIHH", 1, 1, 16, 0, _RATE, 0), _box(b"esds", bytes(4), _elementary_stream())
    )
    media = _box(
        b"mdia",
        _box(b"mdhd", struct.pack(">12xIIHH", _RATE, 0, 0x55C4, 0)),
        _box(b"hdlr", struct.pack(">8x4s12xx", b"soun")),
        _box(
            b"minf",
            _box(b"smhd", bytes(8)),
            _box(b"dinf", _box(b"dref", struct.pack(">4xI", 1), _box(b"url ", b"\x00\x00\x00\x01"))),
            _box(b"stbl", _box(b"stsd", struct.pack(">4xI", 1), sample_entry), tables),
        ),
    )
    track = _box(b"tkhd", b"\x00\x00\x00\x07", struct.pack(">8xI4xI8xHHHH", 1, 0, 0, 0, 0x0100, 0), _MATRIX, bytes(8))
    movie = _box(
        b"mvhd", struct.pack(">12xIIIH10x", _RATE, 0, 0x10000, 0x0100), _MATRIX, bytes(24), b"\x00\x00\x00\x02"
    )
    return _box(b"ftyp", b"iso5", bytes(4), b"iso5", b"mp41") + _box(
        b"moov", movie, _box(b"trak", track, media), extends
    )


def _elementary_stream() -> bytes:
    """ISO 14496-1 section 7.2.6: ES, decoder configuration (AAC), decoder specific information, SL configuration."""
    specific = b"\x05" + bytes([len(_AAC_CONFIG)]) + _AAC_CONFIG
    config = b"\x40\x15" + bytes(11) + specific
    return (
        b"\x03"
        + bytes([3 + 2 + len(config) + 3])
        + b"\x00\x01\x00"
        + b"\x04"
        + bytes([len(config)])
        + config
        + b"\x06\x01\x02"
    )


def _mp4_fragment(frames: int) -> bytes:
    """One moof with `frames` samples of the same size, and their mdat."""

    def movie_fragment(data_offset: int) -> bytes:
        # tfhd: default-base-is-moof, default duration and size; trun: data offset.
        return _box(
            b"moof",
            _box(b"mfhd", struct.pack(">4xI", 1)),
            _box(
                b"traf",
                _box(b"tfhd", struct.pack(">IIII", 0x020018, 1, _AAC_FRAME_SAMPLES, len(_AAC_FRAME))),
                _box(b"tfdt", struct.pack(">II", 0, 0)),
                _box(b"trun", struct.pack(">III", 0x000001, frames, data_offset)),
            ),
        )

    return movie_fragment(len(movie_fragment(0)) + 8) + _box(b"mdat", _AAC_FRAME * frames)
