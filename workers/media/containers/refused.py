"""Files that people bring and that are not read: recognised by their first bytes, so that the error can name them."""

from __future__ import annotations

from workers.media.errors import MediaError

_SEND = "send WebM, Ogg, MP4, MP3, AAC, FLAC, WAV or AIFF"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, bytes.fromhex("3026b2758e66cf11"), "a Windows Media recording (WMA, WMV or ASF)"),
    (8, b"AVI ", "an AVI video"),
    (8, b"RMID", "a MIDI file"),
    (8, b"WEBP", "a WebP picture"),
    (0, bytes.fromhex("726966662e91cf11"), "a Wave64 recording (W64)"),
    (0, b"FLV\x01", "a Flash video"),
    (0, b".RMF", "a RealMedia recording"),
    (0, b".ra\xfd", "a RealAudio recording"),
    (0, b"\0\0\x01\xba", "an MPEG programme stream"),
    (0, b"wvpk", "a WavPack recording"),
    (0, b"MAC ", "a Monkey's Audio recording (APE)"),
    (0, b"TTA1", "a True Audio recording"),
    (0, b"MPCK", "a Musepack recording"),
    (0, b"MP+\x07", "a Musepack recording"),
    (0, b"DSD ", "a DSD recording"),
    (0, b"ADIF", "AAC with an ADIF header"),
    (0, b"#!SILK_V3", "a SILK recording"),
    (1, b"#!SILK_V3", "a SILK recording"),
    (0, b"Creative Voice F", "a Creative Voice file (VOC)"),
    (0, b"NIST_1A", "a NIST SPHERE recording"),
    (0, b"MThd", "a MIDI file"),
    (0, b"\x7f\xfe\x80\x01", "a DTS recording"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"\xff\xd8\xff", "a JPEG picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive"),
    (0, b"#EXTM3U", "a playlist"),
    (0, b"[playlist]", "a playlist"),
    (0, b"WEBVTT", "a file of subtitles"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"<!doctype", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"<?xml", "an XML document"),
)
MAGIC_BYTES = 16
"""With this many bytes the answer no longer changes."""

_TS_PACKETS = (188, 192, 204)
_TS_SYNC = 0x47


def check_magic(start: bytes | bytearray) -> None:
    """Raise MediaError, with its name, for a file that is known and not read."""
    for offset, magic, name in _MAGIC:
        if start.startswith(magic, offset) and (offset != 8 or start.startswith(b"RIFF")):
            raise MediaError(f"this is {name}, which is not supported: {_SEND}")


def refusal(start: bytes | bytearray) -> MediaError:
    """The error for bytes that begin nothing that is read."""
    for packet in _TS_PACKETS:
        for first in (0, 4):
            places = range(first, min(len(start), first + 4 * packet), packet)
            if len(places) > 1 and all(start[at] == _TS_SYNC for at in places):
                return MediaError(f"this is an MPEG transport stream (TS), which is not supported: {_SEND}")
    if start.startswith(b"\x0b\x77"):
        return MediaError(f"this is an AC-3 recording, which is not supported: {_SEND}")
    return MediaError(f"the first bytes are of no known container: {_SEND}")
