"""Frames to windows: sums over 10 s every 2 s, and over the whole stream at its end. Pure.

A window is a fold over its frames in their order; `summarise` on the same frames gives the same numbers. The frames of
the window under way ride along in `resume_state`, so a successor's first window is the one that its predecessor would
have given: 35 bytes per frame, 3 to 5 KB at 10 to 15 frames per second.
"""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from talkup.v1 import analysis_pb2

WINDOW_MS: Final = 10_000
EVERY_MS: Final = 2_000
_MAX_FRAMES: Final = 1_200
_FACING: Final = 0.5
_SMILING: Final = 0.5
_MIN_BLINK_MS: Final = 5_000

Measure = analysis_pb2.Measure


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What a window needs of a frame; None: not measurable. `watched_ms`: eyes seen at a rate that shows blinks."""

    media_ms: int
    face: bool
    luma: float
    facing: float | None = None
    smile: float | None = None
    motion: float | None = None
    yaw: float | None = None
    blinks: int = 0
    nods: int = 0
    watched_ms: int = 0
    nods_ms: int = 0
    trust: float = 0.0


# Time, face, six numbers of single precision as in results (not a number: None), four counts.
_PACKED: Final = struct.Struct("<I?6fBBHH")
_MOST_MS: Final = 0xFFFF


def pack_samples(samples: Iterable[Sample]) -> bytes:
    """To bytes, in order."""
    return b"".join(
        _PACKED.pack(
            sample.media_ms,
            sample.face,
            sample.luma,
            *(math.nan if value is None else value for value in _optional(sample)),
            sample.trust,
            min(sample.blinks, 255),
            min(sample.nods, 255),
            min(sample.watched_ms, _MOST_MS),
            min(sample.nods_ms, _MOST_MS),
        )
        for sample in samples
    )


def unpack_samples(data: bytes) -> list[Sample]:
    """The samples that `pack_samples` packed. Raises ValueError for any other bytes."""
    if len(data) % _PACKED.size or len(data) > _MAX_FRAMES * _PACKED.size:
        raise ValueError("not the frames of a window")
    samples = []
    for media_ms, face, luma, *measured, trust, blinks, nods, watched_ms, nods_ms in _PACKED.iter_unpack(data):
        facing, smile, motion, yaw = (None if math.isnan(value) else value for value in measured)
        samples.append(
            Sample(media_ms, face, luma, facing, smile, motion, yaw, blinks, nods, watched_ms, nods_ms, trust)
        )
    return samples


def _optional(sample: Sample) -> tuple[float | None, ...]:
    return sample.facing, sample.smile, sample.motion, sample.yaw


class Totals(msgspec.Struct, array_like=True):
    """Sums over frames; `first_ms` None before the first."""

    first_ms: int | None = None
    last_ms: int = 0
    frames: int = 0
    faces: int = 0
    luma: float = 0.0
    facing_known: int = 0
    facing: int = 0
    smile_known: int = 0
    smiles: int = 0
    motion_known: int = 0
    motion: float = 0.0
    yaw_known: int = 0
    yaw: float = 0.0
    yaw_squares: float = 0.0
    blinks: int = 0
    nods: int = 0
    watched_ms: int = 0
    nods_ms: int = 0
    trust: float = 0.0

    def add(self, sample: Sample) -> None:
        """Take the next frame."""
        self.first_ms = sample.media_ms if self.first_ms is None else self.first_ms
        self.last_ms = sample.media_ms
        self.frames += 1
        self.faces += sample.face
        self.luma += sample.luma
        self.trust += sample.trust
        if sample.facing is not None:
            self.facing_known += 1
            self.facing += sample.facing >= _FACING
        if sample.smile is not None:
            self.smile_known += 1
            self.smiles += sample.smile >= _SMILING
        if sample.motion is not None:
            self.motion_known += 1
            self.motion += sample.motion
        if sample.yaw is not None:
            self.yaw_known += 1
            self.yaw += sample.yaw
            self.yaw_squares += sample.yaw * sample.yaw
        self.blinks += sample.blinks
        self.nods += sample.nods
        self.watched_ms += sample.watched_ms
        self.nods_ms += sample.nods_ms

    def signals(self, t0_ms: int, t1_ms: int, *, whole: bool) -> analysis_pb2.WindowSignals:
        """The sums as a window from `t0_ms` to `t1_ms`."""
        window = analysis_pb2.WindowSignals(t0_ms=t0_ms, t1_ms=t1_ms, whole_session=whole, frames=self.frames)
        if not self.frames:
            return window
        trust = self.trust / self.faces if self.faces else 0.0
        window.presence_ratio.CopyFrom(Measure(value=self.faces / self.frames, confidence=0.95))
        window.luma.CopyFrom(Measure(value=self.luma / self.frames, confidence=1.0))
        for field, known, value in (
            (window.facing_camera_ratio, self.facing_known, self.facing),
            (window.smile_ratio, self.smile_known, self.smiles),
            (window.motion, self.motion_known, self.motion),
        ):
            if known:
                covered = known / self.frames
                sure = covered if field is window.motion else covered * trust
                field.CopyFrom(Measure(value=value / known, confidence=min(1.0, sure)))
        if self.yaw_known > 1:
            mean = self.yaw / self.yaw_known
            spread = math.sqrt(max(0.0, self.yaw_squares / self.yaw_known - mean * mean))
            window.yaw_spread_degrees.CopyFrom(Measure(value=spread, confidence=trust))
        if self.watched_ms >= _MIN_BLINK_MS:
            per_minute = self.blinks * 60_000 / self.watched_ms
            window.blinks_per_minute.CopyFrom(Measure(value=per_minute, confidence=0.6 * trust))
        if self.nods_ms:
            window.nods.CopyFrom(Measure(value=self.nods, confidence=0.6 * trust))
        span = self.last_ms - (self.first_ms or 0)
        if self.frames > 1 and span > 0:
            window.fps.CopyFrom(Measure(value=(self.frames - 1) * 1000 / span, confidence=1.0))
        return window


def summarise(samples: Iterable[Sample], t0_ms: int, t1_ms: int, *, whole: bool = False) -> analysis_pb2.WindowSignals:
    """The window of these frames."""
    totals = Totals()
    for sample in samples:
        totals.add(sample)
    return totals.signals(t0_ms, t1_ms, whole=whole)


class WindowsState(msgspec.Struct, frozen=True, array_like=True):
    """One stream's windows as they stand: sums, the last 10 s of frames packed, and when the next window is due."""

    totals: Totals | None = None
    recent: bytes = b""
    due_ms: int | None = None


class Windows:
    """One stream's windows: the last 10 s of frames, and the sums of all."""

    def __init__(self, state: WindowsState | None = None) -> None:
        """Raises ValueError for an invalid state."""
        state = state or WindowsState()
        self.totals = state.totals or Totals()
        samples = unpack_samples(state.recent)
        self._recent: deque[Sample] = deque(samples, maxlen=_MAX_FRAMES)
        self._packed: deque[bytes] = deque((pack_samples([sample]) for sample in samples), maxlen=_MAX_FRAMES)
        self._due_ms = state.due_ms

    @property
    def state(self) -> WindowsState:
        """The current state, with which a successor continues."""
        return WindowsState(self.totals, b"".join(self._packed), self._due_ms)

    @property
    def recent(self) -> Sequence[Sample]:
        """The frames of the window under way."""
        return self._recent

    def add(self, sample: Sample) -> analysis_pb2.WindowSignals | None:
        """Take the next frame; the window that ends with it, if one is due."""
        self.totals.add(sample)
        if self._due_ms is None:
            self._due_ms = sample.media_ms + EVERY_MS
        self._recent.append(sample)
        self._packed.append(pack_samples([sample]))
        while sample.media_ms - self._recent[0].media_ms > WINDOW_MS:
            self._recent.popleft()
            self._packed.popleft()
        if sample.media_ms < self._due_ms:
            return None
        self._due_ms = max(self._due_ms + EVERY_MS, sample.media_ms + 1)
        t0_ms = max(self.totals.first_ms or 0, sample.media_ms - WINDOW_MS)
        return summarise(self._recent, t0_ms, sample.media_ms)

    def whole(self) -> analysis_pb2.WindowSignals:
        """The whole stream."""
        return self.totals.signals(self.totals.first_ms or 0, self.totals.last_ms, whole=True)
