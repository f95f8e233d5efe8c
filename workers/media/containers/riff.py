"""Chunks behind the samples of a RIFF file: what is one, and what only looks like one.

Samples may run past the end that a header declares, so the bytes there decide. Inside the length that the file's RIFF
header declares, four printable characters make a chunk. Behind it, and where the length of the samples is unknown,
only names that are in use do: no samples spell them by chance.
"""

from __future__ import annotations

import re

LOOK_AHEAD = 12
"""Bytes by which a chunk is recognised: its name, its size, and the first word of its content."""

ID3V1_BYTES = 128

_NAMES = frozenset(
    (
        *(b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"iXML", b"axml", b"cart", b"PEAK", b"acid", b"afsp", b"DISP"),
        *(b"_PMX", b"umid", b"levl", b"SNDM", b"aXML", b"chna", b"data", b"RIFF", b"fact", b"smpl", b"inst", b"plst"),
        *(b"JUNK", b"junk", b"PAD ", b"FLLR", b"minf", b"elm1", b"regn", b"strc", b"ltxt", b"note", b"labl", b"LGWV"),
    )
)
_NAME = re.compile(rb"[A-Za-z0-9_]{3}[A-Za-z0-9_ ]")
_IN_SAMPLES = re.compile(
    rb"LIST...\x00(?:INFO|adtl|exif)|[iI][dD]3 ...[\x00-\x0f]ID3|bext..[\x00-\x0f]\x00[\x00\x20-\x7e]{4}"
    rb"|cue ..\x00\x00..\x00\x00|(?:iXML|axml|_PMX)...\x00[<\xef]|(?:RIFF|RF64|BW64)....WAVE",
    re.DOTALL,
)


def is_chunk(data: bytes | bytearray, at: int, inside: int) -> bool:
    """Whether a chunk, or an ID3v1 tag, stands at `at`; `inside`: bytes that the RIFF header declares from here on."""
    name, size = bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8], "little")
    if name in _NAMES or name[:3] == b"TAG":
        return True
    return _NAME.fullmatch(name) is not None and 8 + size <= inside


def find_chunk(data: bytes | bytearray) -> int:
    """Where a chunk that cannot be mistaken begins among samples; below 0: nowhere that is here whole."""
    match = _IN_SAMPLES.search(data)
    return match.start() if match else -1
