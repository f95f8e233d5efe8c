"""Restart points: what a successor needs to continue at an exact sample, and its compact form on the wire."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Protocol

import msgspec

from workers.media.clock import MediaClock
from workers.media.codec import OUTPUT_RATE
from workers.media.containers.mp4_index import MAX_INDEX_BYTES
from workers.media.containers.packet import MAX_HEADER_BYTES
from workers.media.errors import MediaError
from workers.media.interface import Checkpoint
from workers.media.mixer import Mixing, StereoMixer

_MAX_STATE_BYTES = MAX_INDEX_BYTES + MAX_HEADER_BYTES
_VERSION = 1
_LARGE = 1 << 53
_MAX_POINTS = 4096


class DecoderState(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A restart point with the sample from which a successor hands out audio.

    `container`: as in media.proto; 0: the recording begins here and its bytes decide. `prefix`: what the demuxer is fed
    first. `sequence` and `skip`: the chunk that holds the restart point, and the byte in it. `chunks`: how many chunks
    of the recording lie before that one. `base` to `pts_base`: the `MediaClock` at that point. `emit`: a sample of the
    stream's 16 kHz clock. `mixing`: the state of the mixer before that sample, of a recording in stereo.
    """

    version: int
    container: int
    prefix: bytes
    sequence: int
    skip: int
    chunks: int
    base: int
    rate: int
    trim: int
    position: int
    pts_base: float | None
    emit: int
    mixing: Mixing | None = None

    def clock(self) -> MediaClock:
        """The media clock at the restart point."""
        return MediaClock(self.base, self.rate, self.trim, self.position, self.pts_base)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(DecoderState)


def unpack(data: bytes) -> DecoderState:
    """Read a state. Raises MediaError for bytes that no decoder of this version can have written."""
    if len(data) > _MAX_STATE_BYTES:
        raise MediaError("the decoder state is too large")
    try:
        state = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MediaError("the decoder state is malformed") from error
    counts = (state.sequence, state.skip, state.chunks, state.base, state.trim, state.position, state.emit)
    if state.version != _VERSION or not all(0 <= count < _LARGE for count in counts):
        raise MediaError("the decoder state is of another version or out of range")
    mixing = state.mixing
    if mixing is not None and not all(0 <= value < _LARGE for value in mixing):
        raise MediaError("the decoder state is out of range")
    timed = state.pts_base is None or abs(state.pts_base) < _LARGE  # NaN fails this
    if not timed or not (state.rate == 0 or 4_000 <= state.rate <= 192_000):
        raise MediaError("the decoder state is out of range")
    return state


class PointSource(Protocol):
    """The recording that a restart point lies in."""

    @property
    def container(self) -> int:
        """As in media.proto; 0: not known yet."""
        ...

    def prefix(self, anchor: int) -> bytes:
        """What a successor is fed first."""
        ...


@dataclass(frozen=True, slots=True)
class RestartPoint:
    """A place to restart at.

    `usable_from`: the first 16 kHz sample that comes out right after it. `source` None: the start of a recording, which
    needs no prefix. `clock`: base, rate, trim, position and pts_base. `mixer`: that of the recording from there on. The
    rest as in `DecoderState`.
    """

    usable_from: int
    sequence: int
    clock: tuple[int, int, int, int, float | None]
    source: PointSource | None = None
    anchor: int = 0
    skip: int = 0
    chunks: int = 0
    mixer: StereoMixer | None = None
    mixing: Mixing | None = None

    def state(self, emit: int) -> DecoderState:
        """This point, for a decoder that hands out audio from 16 kHz sample `emit` on."""
        container = self.source.container if self.source else 0
        prefix = self.source.prefix(self.anchor) if self.source else b""
        return DecoderState(
            _VERSION, container, prefix, self.sequence, self.skip, self.chunks, *self.clock, emit, self._mixing(emit)
        )

    def _mixing(self, emit: int) -> Mixing | None:
        if self.mixer is None:
            return self.mixing
        base, rate, trim = self.clock[:3]
        return self.mixer.mixing_before(trim + (emit - base) * rate // OUTPUT_RATE)

    def checkpoint(self, emit: int) -> Checkpoint:
        """This point, for a successor that hands out audio from 16 kHz sample `emit` on."""
        fields = msgspec.structs.astuple(self.state(emit))
        if fields[-1] is None:  # as workers of the release before the mixer wrote and read it
            fields = fields[:-1]
        return Checkpoint(self.sequence, _ENCODER.encode(fields))


@dataclass(frozen=True, slots=True)
class _Given:
    """The recording of a resumed decoder, at the point it resumed at."""

    container: int
    written: bytes

    def prefix(self, anchor: int) -> bytes:
        del anchor
        return self.written


def resumed_point(state: DecoderState) -> RestartPoint:
    """The restart point that a state was made from, valid for all samples that a decoder resumed there hands out."""
    clock = (state.base, state.rate, state.trim, state.position, state.pts_base)
    source = _Given(state.container, state.prefix) if state.container else None
    return RestartPoint(0, state.sequence, clock, source, skip=state.skip, chunks=state.chunks, mixing=state.mixing)


class History:
    """The restart points that a checkpoint may still name, oldest first.

    Beyond 4096 points without a checkpoint every other one is dropped: a successor then replays a little more.
    """

    def __init__(self) -> None:
        self._points: deque[RestartPoint] = deque()

    def __len__(self) -> int:
        return len(self._points)

    def add(self, point: RestartPoint) -> None:
        """Note a point, later than all before."""
        self._points.append(point)
        if len(self._points) > _MAX_POINTS:
            self._points = deque(point for index, point in enumerate(self._points) if index % 2 == 0)

    def latest(self, sample: int) -> RestartPoint:
        """The last point that is valid for `sample`; forgets those before it, as samples only rise."""
        while len(self._points) > 1 and self._points[1].usable_from <= sample:
            self._points.popleft()
        return self._points[0]
