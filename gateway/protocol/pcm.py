"""Names of headerless PCM: what telephone gateways, RTP and recorders call it becomes one `MediaFormat`.

Byte orders: `audio/l16` is big-endian (RFC 2586, 3551) unless it says `endianness=little-endian`; `audio/pcm` is
little-endian unless its `encoding` says otherwise; the 8-bit encodings of G.711 have no byte order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from talkup.v1 import media_pb2

from gateway.protocol.errors import Code, Problem

MIN_SAMPLE_RATE: Final = 8_000
MAX_SAMPLE_RATE: Final = 192_000
MAX_CHANNELS: Final = 8

# The name on the wire to the workers, the value of the contract, bits per sample.
_S16LE: Final = ("s16le", media_pb2.PCM_ENCODING_S16LE, 16)
_S16BE: Final = ("s16be", media_pb2.PCM_ENCODING_S16BE, 16)
_F32LE: Final = ("f32le", media_pb2.PCM_ENCODING_F32LE, 32)
_MULAW: Final = ("mulaw", media_pb2.PCM_ENCODING_MULAW, 8)
_ALAW: Final = ("alaw", media_pb2.PCM_ENCODING_ALAW, 8)
_Encoding = tuple[str, media_pb2.PcmEncoding, int]

_ENCODINGS: Final[Mapping[str, _Encoding]] = {
    "s16le": _S16LE,
    "pcm_s16le": _S16LE,
    "linear16": _S16LE,
    "s16be": _S16BE,
    "pcm_s16be": _S16BE,
    "f32le": _F32LE,
    "pcm_f32le": _F32LE,
    "mulaw": _MULAW,
    "ulaw": _MULAW,
    "pcm_mulaw": _MULAW,
    "pcmu": _MULAW,
    "alaw": _ALAW,
    "pcm_alaw": _ALAW,
    "pcma": _ALAW,
}
_BYTE_ORDERS: Final = {"big-endian": _S16BE, "little-endian": _S16LE}


@dataclass(frozen=True, slots=True)
class _Name:
    """What a MIME type says by itself; `rate` None: the client must say it."""

    encoding: _Encoding
    rate: int | None


_NAMES: Final[Mapping[str, _Name]] = {
    "audio/pcm": _Name(_S16LE, 16_000),
    "audio/l16": _Name(_S16BE, None),
    "audio/basic": _Name(_MULAW, 8_000),  # RFC 2046 4.3
    "audio/pcmu": _Name(_MULAW, 8_000),  # RFC 3551 4.5.14
    "audio/pcma": _Name(_ALAW, 8_000),
}
PCM_NAMES: Final = tuple(_NAMES)

_RATE_NAMES: Final = ("rate", "samplerate", "sample-rate", "sample_rate")
_BITS_NAMES: Final = ("bits", "bitdepth", "bit-depth")
# Parameters of RTP that say nothing about a sample.
_IGNORED: Final = frozenset({"ptime", "maxptime", "channel-order"})
_READ: Final = frozenset({*_RATE_NAMES, *_BITS_NAMES, "channels", "encoding", "endianness"})


def parse_pcm(
    name: str, parameters: Mapping[str, str], sample_rate: int | None, channels: int | None
) -> media_pb2.MediaFormat | Problem:
    """The format of a name of PCM_NAMES. `sample_rate` (Hz) and `channels` are the fields next to the MIME type.

    A parameter that is not read could change what the samples mean, so it is refused rather than ignored.
    """
    if parameters.keys() - _READ - _IGNORED:
        return _unsupported(f"{name} has a parameter that is not known: it takes rate, channels, encoding, endianness")
    encoding = _encoding(name, parameters)
    if isinstance(encoding, Problem):
        return encoding
    label, value, bits = encoding
    if any(parameters[each] != str(bits) for each in _BITS_NAMES if each in parameters):
        return _unsupported(f"{name} has {bits} bits per sample here; audio/pcm also takes encoding=f32le")
    given = next((parameters[each] for each in _RATE_NAMES if each in parameters), None)
    rate = _integer(given, sample_rate, _NAMES[name].rate)
    count = _integer(parameters.get("channels"), channels, 1)
    if rate is None and given is None:
        return _unsupported(f"{name} needs its rate: {name};rate=16000")
    if rate is None or not MIN_SAMPLE_RATE <= rate <= MAX_SAMPLE_RATE:
        return _unsupported(f"the rate of {name} must be a number from {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE}")
    if count is None or not 1 <= count <= MAX_CHANNELS:
        return _unsupported(f"the channels of {name} must be a number from 1 to {MAX_CHANNELS}")
    if sample_rate not in (None, rate):
        return _unsupported("sample_rate contradicts the rate in format", "sample_rate")
    if channels not in (None, count):
        return _unsupported("channels contradicts the channels in format", "channels")
    return media_pb2.MediaFormat(
        mime_type=f"audio/pcm;rate={rate};channels={count};encoding={label}",
        container=media_pb2.CONTAINER_PCM,
        pcm_encoding=value,
        sample_rate=rate,
        channels=count,
    )


def _encoding(name: str, parameters: Mapping[str, str]) -> _Encoding | Problem:
    """How a sample is written, from the name and the parameters `encoding` and `endianness`."""
    encoding = _NAMES[name].encoding
    if "encoding" in parameters:
        declared = _ENCODINGS.get(parameters["encoding"].lower())
        if declared is None:
            return _unsupported(f"the encoding of {name} must be s16le, s16be, f32le, mulaw or alaw")
        if name != "audio/pcm" and declared is not encoding:
            return _unsupported(f"the encoding contradicts {name}: name it in audio/pcm;encoding=… instead")
        encoding = declared
    if "endianness" in parameters:
        ordered = _BYTE_ORDERS.get(parameters["endianness"].lower())
        if ordered is None or encoding not in (_S16LE, _S16BE):
            return _unsupported("the endianness must be big-endian or little-endian, of 16-bit samples")
        if "encoding" in parameters and ordered is not encoding:
            return _unsupported("the endianness contradicts the encoding")
        encoding = ordered
    return encoding


def _integer(text: str | None, field_value: int | None, default: int | None) -> int | None:
    """The parameter if given, else the field, else the default; None for a parameter that is no small number."""
    if text is None:
        return default if field_value is None else field_value
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _unsupported(message: str, field_name: str = "format") -> Problem:
    return Problem(Code.UNSUPPORTED_FORMAT, message, field=field_name)
