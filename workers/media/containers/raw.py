"""Headerless PCM, and what every container of plain samples shares: AIFF, AU, CAF and WAV only put a header in front.

Samples are handed out in blocks of 10 ms, so restart points and packets do not depend on how the bytes were cut.
"""

from __future__ import annotations

from workers.media.containers.packet import Codec, DamagedError, Demuxer, Incomplete, Packet, PcmEncoding, Track

TRACK = 1
MAX_CHANNELS = 8
RATES = range(4_000, 192_001)
PLACEHOLDERS = range(0x7FFF_0000, 0x8001_0000)
"""Lengths in a header that stand for an unknown one, as sox, arecord and eSpeak write into a pipe."""

_BLOCKS_A_SECOND = 100


class PcmDemuxer(Demuxer):
    """Bare interleaved samples to blocks of 10 ms, several to a packet up to a second.

    `encoding`, `rate` (samples per second) and `channels` come from the negotiated format. Raises MediaError when they
    are out of range.
    """

    has_pts = False

    def __init__(self, encoding: PcmEncoding, rate: int, channels: int) -> None:
        super().__init__()
        self._set_format(encoding, rate, channels)

    def prefix(self, anchor: int) -> bytes:
        """Nothing: the format was negotiated."""
        del anchor
        return b""

    def finish(self) -> list[Packet]:
        """The whole samples of the last block."""
        packets: list[Packet] = []
        size = len(self._buffer) // self._frame * self._frame
        if size:
            packets.append(self._packet(size))
            self._consume(size)
        return packets

    def _set_format(self, encoding: PcmEncoding, rate: int, channels: int) -> None:
        if rate not in RATES or not 1 <= channels <= MAX_CHANNELS:
            raise DamagedError("the sample rate or the number of channels is out of range")
        self._set_blocks(encoding.sample_bytes * channels, rate // _BLOCKS_A_SECOND, _BLOCKS_A_SECOND)
        self.tracks = {TRACK: Track(TRACK, Codec.PCM, rate=rate, channels=channels, pcm=encoding)}

    def _set_blocks(self, frame: int, frames: int, most: int) -> None:
        """`frame`: the bytes that cannot be cut; `frames` of them make a block, at most `most` blocks a packet."""
        self._frame = frame
        self._block = frames * frame
        self._most = most

    def _packet(self, size: int) -> Packet:
        return Packet(TRACK, bytes(self._buffer[:size]), self.position)

    def _step(self, packets: list[Packet]) -> int:
        return self._blocks(len(self._buffer), packets)

    def _blocks(self, available: int, packets: list[Packet]) -> int:
        """Hand out the whole blocks among the first `available` bytes. Raises Incomplete when there are none."""
        size = min(available // self._block, self._most) * self._block
        if size <= 0:
            raise Incomplete
        packets.append(self._packet(size))
        return size

    def _seek(self) -> int:
        return 0
