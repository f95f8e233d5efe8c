"""A small real decoder whose every sample depends on all before it, with faults on demand.

Input: bytes, each the difference to the sample before, cut anywhere; a sample takes two bytes. Output: the running sum
modulo 1000, scaled by 1/1000. A lost, doubled or swapped byte changes every later sample. A chunk that starts with `!`
commands a failure.
"""

from __future__ import annotations

import ctypes
import os
import struct
import time
from collections import deque

import numpy as np
from numpy.typing import NDArray
from talkup.v1 import media_pb2

from workers.chunk import Chunk
from workers.media.errors import MediaError
from workers.media.interface import Checkpoint, Parts
from workers.media.isolation import ipc
from workers.media.isolation.warmup import Clip

DAMAGED = b"\xee"
"""Counts as damage, wherever it stands."""

_STATE = struct.Struct("<QIQ")


class DeltaDecoder:
    """See the module. A state is (sample, sum at it, bytes of the chunk to skip)."""

    def __init__(self, fmt: media_pb2.MediaFormat, state: bytes | None = None) -> None:
        if fmt.mime_type == "test/bomb":
            raise RuntimeError("secret media")
        self.position, self._sum, self._skip = 0, 0, 0
        if state is not None:
            try:
                self.position, self._sum, self._skip = _STATE.unpack(state)
            except struct.error as error:
                raise MediaError("the state cannot be read") from error
        self.damaged_bytes = 0
        self._half = b""
        self._base = self.position
        self._sums: deque[int] = deque([self._sum])
        self._starts: list[tuple[int, int, int]] = []  # sequence, byte position, length
        self._bytes = 0

    def decode(self, chunk: Chunk) -> NDArray[np.float32]:
        payload, sequence = chunk.payload, chunk.sequence
        if payload[:1] == b"!":
            misbehave(payload)
        self.damaged_bytes += payload.count(DAMAGED)
        if not self._starts:
            self._bytes = -self._skip
        self._starts.append((sequence, self._bytes, len(payload)))
        self._bytes += len(payload)
        fresh, self._skip = payload[self._skip :], max(0, self._skip - len(payload))
        data = self._half + fresh
        whole = len(data) // 2 * 2
        self._half = data[whole:]
        return self._emit(data[:whole])

    def decode_in_parts(self, chunk: Chunk) -> Parts[NDArray[np.float32]]:
        """A chunk that starts with `!slow` takes as many parts, of a slice of CPU time each, as it says."""
        if chunk.payload.startswith(b"!slow "):
            for _ in range(int(chunk.payload[6:])):
                burn(ipc.SLICE_SECONDS)
                yield
        yield
        return self.decode(chunk)

    def finish(self) -> NDArray[np.float32]:
        return self._emit(self._half + b"\x01")

    def checkpoint(self, sample: int) -> Checkpoint:
        if not self._base <= sample <= self.position:
            raise MediaError("no such sample")
        byte = 2 * (sample - self._base)
        total = self._sums[sample - self._base]
        for sequence, start, length in self._starts:
            if start <= byte < start + length:
                return Checkpoint(sequence, _STATE.pack(sample, total, byte - start))
        after = self._starts[-1][0] + 1 if self._starts else 0
        return Checkpoint(after, _STATE.pack(sample, total, 0))

    def _emit(self, data: bytes) -> NDArray[np.float32]:
        values = []
        for (delta,) in struct.iter_unpack("<H", data[: len(data) // 2 * 2]):
            self._sum = (self._sum + delta) % 1000
            self._sums.append(self._sum)
            values.append(self._sum / 1000)
        self.position += len(values)
        return np.array(values, dtype=np.float32)


def burn(seconds: float) -> None:
    """Use up CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def misbehave(order: bytes) -> None:
    """Do what a codec with a vulnerability might do."""
    match order[1:].partition(b" ")[0]:
        case b"crash":
            ctypes.string_at(0)
        case b"abort":
            os.abort()
        case b"exit":
            os._exit(7)
        case b"hang":
            while True:
                pass
        case b"bad":
            raise MediaError("these media are bad")
        case b"raise":
            raise RuntimeError("secret media")
        case b"huge":
            np.ones(1 << 28)
        case b"open":
            os.close(os.open("/etc/hostname", os.O_RDONLY))
        case b"print":
            os.write(2, b"secret media")
        case b"lie":
            os.write(0, b"\x01\x00\x00\x00\xc0")
        case b"busy":
            burn(0.02)


def no_clips() -> tuple[Clip, ...]:
    """Nothing to warm up."""
    return ()


def one_clip() -> tuple[Clip, ...]:
    """A clip that gives samples, one that cannot be decoded, one that gives none."""
    fmt = media_pb2.MediaFormat()
    return (Clip("warm", fmt, (b"abcd",)), Clip("broken", fmt, (b"!bad",)), Clip("empty", fmt, ()))
