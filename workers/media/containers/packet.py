"""What every demuxer shares: tracks, packets, the push loop, and how invalid bytes are skipped.

A demuxer is pushed bytes, cut anywhere, and hands out whole coded packets. It never waits and never looks ahead of what
it needs. Every packet names the byte at which a successor may start reading (`offset`) and the one number (`anchor`)
that `prefix` needs to write the header such a successor is fed first: together they are a restart point.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from workers.media.containers.turn import UPRIGHT, Turn
from workers.media.errors import MediaError

MAX_ELEMENT_BYTES = 4 << 20
"""The largest element, box, page or frame that is buffered; a 1080p key frame is well below."""

MAX_SKIP_BYTES = 64 << 20
"""The largest element that is skipped unread, such as a cover picture."""

MAX_LOST_BYTES = 8 << 20
"""How much is searched for the next restart point before the recording is given up."""

MAX_CANDIDATES = 128
"""How many places one step looks at in its search, so that no step takes long on bytes that resemble headers."""

_STEPS_A_PART = 128
_PACKETS_A_PART = 256

MAX_HEADER_BYTES = 16 << 10
"""The largest container header a restart point may carry; a real one has 19 to 820 bytes."""


class DamagedError(MediaError):
    """The bytes break their norm; a demuxer past its header then looks for a restart point, `drop` bytes further on."""

    def __init__(self, message: str, *, drop: int = 1) -> None:
        super().__init__(message)
        self.drop = drop


class Incomplete(Exception):  # noqa: N818 - not an error: the next chunk brings the rest
    """The current element is not complete yet."""


class Codec(StrEnum):
    """How a packet is coded."""

    OPUS = "opus"
    AAC = "aac"
    MP3 = "mp3"
    FLAC = "flac"
    VORBIS = "vorbis"
    ALAC = "alac"
    ADPCM_MS = "adpcm_ms"
    ADPCM_IMA = "adpcm_ima"
    GSM_MS = "gsm_ms"
    AMR_NB = "amr_nb"
    AMR_WB = "amr_wb"
    PCM = "pcm"
    VP8 = "vp8"
    VP9 = "vp9"
    H264 = "h264"
    AV1 = "av1"
    UNKNOWN = "unknown"

    @property
    def is_video(self) -> bool:
        """Whether packets of this codec are pictures."""
        return self in (Codec.VP8, Codec.VP9, Codec.H264, Codec.AV1)

    @property
    def is_audio(self) -> bool:
        """Whether packets of this codec are sound."""
        return self is not Codec.UNKNOWN and not self.is_video


class PcmEncoding(StrEnum):
    """How one PCM sample is written; the number is its bits."""

    U8 = "u8"
    S8 = "s8"
    S16 = "s16"
    S16_BIG = "s16be"
    S24 = "s24"
    S24_BIG = "s24be"
    S32 = "s32"
    S32_BIG = "s32be"
    F32 = "f32"
    F32_BIG = "f32be"
    F64 = "f64"
    F64_BIG = "f64be"
    MULAW = "mulaw"
    ALAW = "alaw"

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of one channel."""
        return _PCM_BYTES[self]


_PCM_BYTES = {
    PcmEncoding.U8: 1,
    PcmEncoding.S8: 1,
    PcmEncoding.S16: 2,
    PcmEncoding.S16_BIG: 2,
    PcmEncoding.S24: 3,
    PcmEncoding.S24_BIG: 3,
    PcmEncoding.S32: 4,
    PcmEncoding.S32_BIG: 4,
    PcmEncoding.F32: 4,
    PcmEncoding.F32_BIG: 4,
    PcmEncoding.F64: 8,
    PcmEncoding.F64_BIG: 8,
    PcmEncoding.MULAW: 1,
    PcmEncoding.ALAW: 1,
}


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a recording.

    `rate` is in samples per second (0: the codec tells), `delay` the samples at that rate to drop at the start,
    `private` the codec's own header (OpusHead, AudioSpecificConfig, STREAMINFO, avcC), `pcm` set for PCM alone, `name`
    what the container calls a codec that is not read, and `kind` what the track is then (`audio`, `video`). `turn`: how
    its pictures come to stand upright.
    """

    number: int
    codec: Codec
    private: bytes = b""
    rate: int = 0
    channels: int = 0
    delay: int = 0
    pcm: PcmEncoding | None = None
    name: str = ""
    kind: str = ""
    turn: Turn = UPRIGHT


@dataclass(frozen=True, slots=True)
class Packet:
    """One coded packet.

    `pts` is in milliseconds on the recording's own clock, None where the container has none. `offset` counts bytes from
    the first byte of this demuxer; only the first packet with a given offset is a restart point. `anchor` goes to
    `Demuxer.prefix`. `after_damage`: packets may be missing before this one.
    """

    track: int
    data: bytes
    offset: int
    pts: float | None = None
    key: bool = True
    anchor: int = 0
    after_damage: bool = False


class Demuxer(ABC):
    """The push loop. A subclass parses the start of `_buffer`, and finds the next restart point after a loss."""

    has_pts = True
    """Whether the container gives packets a time."""

    tail_counts = True
    """Whether bytes without sense at the end of a recording are damage; else they may be tags."""

    # `origin`: the pts in ms at which the recording begins; None: with its first packet, as tracks are interleaved.

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self.origin: float | None = None
        self.position = 0
        self._buffer = bytearray()
        self._damaged = self._open_damage = 0
        self._skip = 0
        self._effort = 0  # what a step costs beyond the usual, in steps
        self._lost = -1
        self._at_damage = self._past_damage = False

    @property
    def damaged(self) -> int:
        """Bytes skipped so far because they are invalid; those after a declared gap do not count.

        Behind the end also what the recording broke off within: the bytes of an element that is not here whole, or
        those that a header promises and that never came.
        """
        return self._damaged + (self._open_damage if self.tail_counts else 0)

    @property
    def floor(self) -> int:
        """No packet to come has an offset below this."""
        return self.position

    @property
    def received(self) -> int:
        """Bytes fed so far, those included that are not read yet."""
        return self.position + len(self._buffer)

    def push_bytes(self, payload: bytes) -> list[Packet]:
        """Take the next bytes and return the packets they complete.

        Raises MediaError when the header is wrong or no restart point follows a loss.
        """
        return [packet for part in self.parts(payload) for packet in part]

    def parts(self, payload: bytes) -> Iterator[list[Packet]]:
        """As `push_bytes`, a few packets at a time: a caller can do other work between two parts.

        Nothing else may be called before the last part.
        """
        self._buffer += payload
        complete = False
        while not complete:
            packets: list[Packet] = []
            complete = self._take_steps(packets)
            yield packets

    def _take_steps(self, packets: list[Packet]) -> bool:
        """Take a few steps; returns whether more bytes are needed."""
        left = _STEPS_A_PART
        while left > 0 and len(packets) < _PACKETS_A_PART:
            self._pass_over()
            before = len(packets)
            try:
                self._consume(self._advance(packets))
            except Incomplete:
                return True
            except DamagedError as error:
                if not self.tracks:
                    raise MediaError(f"the recording has no usable header: {error}") from error
                self._lost = 0
                self._at_damage = True
                self._open_damage += error.drop
                self._consume(error.drop)
            if self._past_damage and len(packets) > before:
                packets[before] = replace(packets[before], after_damage=True)
                self._past_damage = False
            left -= 1 + self._effort
            self._effort = 0
        return False

    def end(self) -> list[Packet]:
        """No more bytes: the packets that only the end completes. To be called once."""
        if self.tracks and self._lost < 0:
            try:
                self._damaged += self._broken_off()
            except (DamagedError, struct.error, LookupError, ValueError):
                self._damaged += len(self._buffer)
        return self.finish()

    def finish(self) -> list[Packet]:
        """As `end`, without a look at what the recording broke off within."""
        return []

    def _broken_off(self) -> int:
        """Bytes of sound or pictures that are missing at the end, or of which too few came to be read; 0: none."""
        return 0

    def resynchronise(self) -> None:
        """Bytes are missing before the next chunk: forget what is incomplete and look for the next restart point.

        Raises MediaError when the header is among what is missing.
        """
        if not self.tracks:
            raise MediaError("the header of the recording is lost")
        self.position += len(self._buffer)
        self._buffer.clear()
        self._skip = 0
        self._lost = 0
        self._at_damage = False
        self._forget()

    @abstractmethod
    def prefix(self, anchor: int) -> bytes:
        """What a successor is fed before the bytes from a packet's `offset` on."""

    @abstractmethod
    def _step(self, packets: list[Packet]) -> int:
        """Parse the element at the start of the buffer and return its size; 0 where only the demuxer's state changes.

        A size beyond the buffer passes over bytes still to come. Raises Incomplete or DamagedError.
        """

    @abstractmethod
    def _seek(self) -> int:
        """Return how many bytes to drop for the buffer to begin with a restart point; 0: it does.

        May return fewer, after `MAX_CANDIDATES` false candidates; each adds to `_effort`. Must not depend on how
        the bytes were cut. Raises Incomplete when nothing can be dropped yet.
        """

    def _forget(self) -> None:  # noqa: B027 - most demuxers keep nothing
        """Drop what a subclass keeps of an element that is not complete."""

    def _advance(self, packets: list[Packet]) -> int:
        if self._lost < 0:
            try:
                return self._step(packets)
            except (struct.error, LookupError, ValueError) as error:
                raise DamagedError("an element ends before its fields do") from error
        dropped = self._seek()
        if not dropped:
            self._lost = -1
            self._past_damage |= self._at_damage
            self._at_damage = False
            self._damaged, self._open_damage = self._damaged + self._open_damage, 0
            return 0
        self._lost += dropped
        if self._at_damage:
            self._open_damage += dropped
        if self._lost > MAX_LOST_BYTES:
            raise MediaError("the recording is damaged and no restart point follows")
        return dropped

    def _consume(self, size: int) -> None:
        taken = min(size, len(self._buffer))
        del self._buffer[:taken]
        self.position += taken
        self._skip = size - taken

    def _pass_over(self) -> None:
        if self._skip:
            self._consume(self._skip)


_READ = {"audio": "Opus, AAC, MP3 or FLAC", "video": "VP8, VP9 or H.264"}


def no_track(tracks: Mapping[int, Track], kind: str) -> MediaError:
    """The error for a recording without a track of a kind (`audio`, `video`) that is read."""
    if not any(track.kind == kind for track in tracks.values()):
        return MediaError(f"the recording has no {'sound' if kind == 'audio' else 'pictures'}")
    names = ", ".join(sorted({track.name for track in tracks.values() if track.kind == kind}))
    return unread_track(kind, names or "of an unknown codec")


def unread_track(kind: str, name: str) -> MediaError:
    """The error for a track of a codec that is not decoded here."""
    return MediaError(f"the {kind} track of this recording is {name}, which is not supported: send {_READ[kind]}")


def check_size(size: int) -> None:
    """Raise DamagedError for an element that is larger than what is buffered."""
    if size > MAX_ELEMENT_BYTES:
        raise DamagedError("an element is too large")


def check_skip(size: int) -> int:
    """Return `size`; raise DamagedError for an element that is too large to skip."""
    if size > MAX_SKIP_BYTES:
        raise DamagedError("an element is too large")
    return size


def check_header(header: bytes) -> bytes:
    """Return `header`; raise MediaError when it is too large to ride in a restart point."""
    if len(header) > MAX_HEADER_BYTES:
        raise MediaError("the header of the recording is too large")
    return header
