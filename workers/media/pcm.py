"""PCM samples of every encoding to float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.media.containers.packet import PcmEncoding
from workers.media.errors import MediaError

Samples = NDArray[np.float32]
"""Samples of full scale 1.0: of one channel, shape (n,), unless it says (channels, n)."""

_SENSELESS = np.float32(1000)

_INTEGERS = {
    PcmEncoding.S8: ("i1", 0, 7),
    PcmEncoding.U8: ("u1", 128, 7),
    PcmEncoding.S16: ("<i2", 0, 15),
    PcmEncoding.S16_BIG: (">i2", 0, 15),
    PcmEncoding.S32: ("<i4", 0, 31),
    PcmEncoding.S32_BIG: (">i4", 0, 31),
}
_FLOATS = {
    PcmEncoding.F32: "<f4",
    PcmEncoding.F32_BIG: ">f4",
    PcmEncoding.F64: "<f8",
    PcmEncoding.F64_BIG: ">f8",
}


def silence(samples: int) -> Samples:
    """This many zeros."""
    return np.zeros(samples, np.float32)


def one_or_two(channels: NDArray[np.generic]) -> Samples:
    """One or two channels as they are, two sums of more; shape (channels, samples) to (1 or 2, samples).

    An audio interface offers all its inputs, and one of them has a microphone. The sums of the odd and of the even
    channels make it as loud as one of two channels; the mean of eight makes it so quiet that a low voice is not heard.
    Speech at eight times full scale is transcribed as well as at full scale. A pair of which one is the other upside
    down stays a pair, for the mixer to mend.
    """
    values: Samples = channels.astype(np.float32, copy=False)
    if len(values) <= 2:
        return values
    return np.stack([values[side::2].sum(axis=0, dtype=np.float32) for side in (0, 1)])


def finite(samples: Samples) -> Samples:
    """The same samples, zero where they are not finite or beyond a thousand times full scale."""
    return np.where(np.abs(samples) < _SENSELESS, samples, np.float32(0))  # a comparison with NaN is False


def decode_pcm(data: bytes, encoding: PcmEncoding, channels: int) -> Samples:
    """Whole interleaved samples to one or two channels. Raises MediaError when `data` ends inside a sample."""
    if len(data) % (encoding.sample_bytes * channels):
        raise MediaError("the PCM ends inside a sample")
    return one_or_two(_values(data, encoding).reshape(-1, channels).T)


def _values(data: bytes, encoding: PcmEncoding) -> Samples:
    if encoding in _INTEGERS:
        dtype, middle, shift = _INTEGERS[encoding]
        integers = np.frombuffer(data, dtype).astype(np.int64) - middle
        return (integers / (1 << shift)).astype(np.float32)
    if encoding in _FLOATS:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.frombuffer(data, _FLOATS[encoding]).astype(np.float32)
    if encoding in (PcmEncoding.S24, PcmEncoding.S24_BIG):
        return _signed_24(np.frombuffer(data, np.uint8), big=encoding is PcmEncoding.S24_BIG)
    table = _MULAW if encoding is PcmEncoding.MULAW else _ALAW
    return table[np.frombuffer(data, np.uint8)]


def _signed_24(data: NDArray[np.uint8], *, big: bool) -> Samples:
    parts = data.reshape(-1, 3)[:, :: -1 if big else 1].astype(np.int32)
    values = parts[:, 0] | parts[:, 1] << 8 | parts[:, 2] << 16
    return ((values ^ 0x800000) - 0x800000).astype(np.float32) / np.float32(1 << 23)


def _mulaw_table() -> Samples:
    """ITU-T G.711, mu-law: 14-bit values."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    value = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return (np.where(code & 0x80, -value, value) / 32768).astype(np.float32)


def _alaw_table() -> Samples:
    """ITU-T G.711, A-law: 13-bit values."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent, mantissa = code >> 4 & 7, code & 0x0F
    value = np.where(exponent == 0, (mantissa << 4) + 8, (mantissa << 4) + 0x108 << np.maximum(exponent - 1, 0))
    return (np.where(code & 0x80, value, -value) / 32768).astype(np.float32)


_MULAW = _mulaw_table()
_ALAW = _alaw_table()
