"""Where a session's samples come from: the decoders of `workers.media`, as the speech engine sees them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from talkup.v1 import media_pb2

from workers.chunk import Chunk


class RestartPoint(Protocol):
    """Where decoding can restart.

    A decoder made from `state` that gets every chunk from `replay_from_sequence` on continues at the requested sample.
    """

    @property
    def replay_from_sequence(self) -> int: ...

    @property
    def state(self) -> bytes: ...


class AudioSource(Protocol):
    """One stream's decoder: 16 kHz mono float32 out of chunks of any format.

    Calls do not overlap. Every method may raise the error type that its maker declares.
    """

    @property
    def damaged_bytes(self) -> int:
        """Bytes of the chunks so far that were damaged and skipped."""
        ...

    async def decode(self, chunk: Chunk) -> NDArray[np.float32]:
        """The samples that this chunk completes."""
        ...

    async def finish(self) -> NDArray[np.float32]:
        """The samples that only the end of the stream completes; only `close` may follow."""
        ...

    async def checkpoint(self, sample: int) -> RestartPoint:
        """Where decoding can restart for `sample` on the media clock, which never falls from call to call."""
        ...

    async def close(self) -> None: ...


class AudioDecoders(Protocol):
    """Makes decoders, new or from a restart point's state."""

    def open(self, fmt: media_pb2.MediaFormat, state: bytes | None = None) -> AudioSource: ...
