"""Plain samples behind a header of their own: what AIFF, AU and CAF share.

As in WAV, samples go on behind the end that the header declares unless a chunk stands there. A restart point's prefix
is the same for all three, and no file's: the encoding, the rate, the channels and the bytes that are left.
"""

from __future__ import annotations

import re
import struct
from abc import abstractmethod

from workers.media.containers.packet import DamagedError, Demuxer, Incomplete, Packet, PcmEncoding
from workers.media.containers.raw import PLACEHOLDERS, TRACK, PcmDemuxer
from workers.media.errors import MediaError

_PREFIX = struct.Struct("<4s8sIIq")
_PREFIX_MAGIC = b"pcm\0"
_CHUNK = re.compile(rb"[A-Za-z0-9(][A-Za-z0-9]{2}[A-Za-z0-9 ]")
_MAX_LENGTH = 1 << 52
_LOOK_AHEAD = 9


class HeadedPcmDemuxer(PcmDemuxer):
    """Bytes of such a file to blocks of 10 ms; `resumed`: they begin with the prefix.

    A subclass reads the header. `has_chunks`: chunks may follow the samples.
    """

    has_chunks = True

    def __init__(self, *, resumed: bool = False) -> None:
        Demuxer.__init__(self)
        self._resumed = resumed
        self._in_samples = self._ended = False
        self._left: int | None = None
        self._encoding = PcmEncoding.S16
        self._set_blocks(1, 1, 1)

    def prefix(self, anchor: int) -> bytes:
        """The sample format and the bytes that are left, below 0 an unknown number."""
        track = self.tracks[TRACK]
        return _PREFIX.pack(_PREFIX_MAGIC, self._encoding.encode(), track.rate, track.channels, anchor)

    def finish(self) -> list[Packet]:
        """The whole samples of the last block."""
        if not self._in_samples or self._ended:
            return []
        size = len(self._buffer)
        if self._left is not None and (size - self._left == 1 or self._is_chunk(self._left)):
            size = self._left
        size -= size % self._frame
        return [self._packet(size)] if size else []

    @abstractmethod
    def _header(self) -> int:
        """The next part of the header, as `_step`; ends with `_begin`."""

    def _begin(self, encoding: PcmEncoding, rate: int, channels: int, length: int) -> None:
        """Samples follow: `length` bytes of them, 0 or less an unknown number."""
        self._set_format(encoding, rate, channels)
        self._encoding = encoding
        self._left = length if 0 < length < _MAX_LENGTH and length not in PLACEHOLDERS else None
        self._in_samples = True

    def _broken_off(self) -> int:
        """The samples that the header promises."""
        return max(0, (self._left or 0) - len(self._buffer)) if self._in_samples and not self._ended else 0

    def _forget(self) -> None:
        self._left = None

    def _packet(self, size: int) -> Packet:
        left = -1 if self._left is None else self._left
        return Packet(TRACK, bytes(self._buffer[:size]), self.position, anchor=left)

    def _step(self, packets: list[Packet]) -> int:
        if not self._in_samples:
            return self._read_prefix() if self._resumed else self._header()
        if self._ended:
            if not self._buffer:
                raise Incomplete
            return len(self._buffer)
        left = self._left
        if left is None:
            return self._blocks(len(self._buffer), packets)
        if left >= self._block:
            size = self._blocks(min(len(self._buffer), left), packets)
            self._left = left - size
            return size
        if len(self._buffer) < left + _LOOK_AHEAD:
            raise Incomplete
        if not self._is_chunk(left):
            self._left = None
            return 0
        self._ended = True
        usable = left - left % self._frame
        if usable:
            packets.append(self._packet(usable))
        return left

    def _is_chunk(self, at: int) -> bool:
        """Whether a chunk stands at `at`, or behind the byte that makes an odd size even."""
        return self.has_chunks and any(_CHUNK.fullmatch(self._buffer, at + pad, at + pad + 4) for pad in (0, 1))

    def _read_prefix(self) -> int:
        if len(self._buffer) < _PREFIX.size:
            raise Incomplete
        magic, name, rate, channels, left = _PREFIX.unpack_from(self._buffer)
        if magic != _PREFIX_MAGIC:
            raise DamagedError("not a prefix")
        self._begin(PcmEncoding(name.rstrip(b"\0").decode()), rate, channels, left)
        return _PREFIX.size


def other_codec(container: str, name: bytes, send: str) -> MediaError:
    """The error for a codec that is not read in a container."""
    shown = name.decode("ascii", "replace").strip() if name.isalnum() or name.strip().isalnum() else "an unknown codec"
    return MediaError(f"the sound in this {container} is {shown}, which is not supported there: send {send}")
