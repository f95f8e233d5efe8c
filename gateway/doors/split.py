"""Splits interleaved raw samples into channels. Pure."""

from __future__ import annotations

from array import array
from typing import Final

_TYPES: Final = {1: "B", 2: "H", 4: "I"}


class ChannelSplitter:
    """Splits bytes, cut anywhere, into the bytes of each channel. Byte orders do not matter: samples stay whole."""

    def __init__(self, channels: int, sample_bytes: int) -> None:
        """`sample_bytes`: 1, 2 or 4, of one sample of one channel."""
        self._channels = channels
        self._type = _TYPES[sample_bytes]
        self._frame = channels * sample_bytes
        self._rest = b""

    def split(self, payload: bytes) -> list[bytes]:
        """The bytes of each channel so far; an incomplete frame waits for the next bytes."""
        data = self._rest + payload if self._rest else payload
        whole = len(data) - len(data) % self._frame
        self._rest = data[whole:]
        samples = array(self._type, data[:whole])
        return [samples[channel :: self._channels].tobytes() for channel in range(self._channels)]
