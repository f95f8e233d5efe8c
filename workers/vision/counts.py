"""What a stream has received, analysed and dropped, and the identity between the three."""

from __future__ import annotations

from typing import Annotated

import msgspec
from talkup.v1 import task_pb2

from workers.vision.mailbox import Drops

Natural = Annotated[int, msgspec.Meta(ge=0)]

REASONS = (task_pb2.DROP_REASON_OVERLOAD, task_pb2.DROP_REASON_STALE, task_pb2.DROP_REASON_CORRUPT)


class Counts(msgspec.Struct, array_like=True):
    """Frames; `received` is never stored: it is the sum of the others."""

    analyzed: Natural = 0
    overload: Natural = 0
    stale: Natural = 0
    corrupt: Natural = 0

    @property
    def received(self) -> int:
        """Frames accounted for."""
        return self.analyzed + self.overload + self.stale + self.corrupt

    @property
    def decoded(self) -> int:
        """Frames that were, or would have been, pictures."""
        return self.received - self.corrupt

    def drop(self, drops: Drops) -> None:
        """Count what was dropped."""
        self.overload += drops[task_pb2.DROP_REASON_OVERLOAD]
        self.stale += drops[task_pb2.DROP_REASON_STALE]
        self.corrupt += drops[task_pb2.DROP_REASON_CORRUPT]

    def dropped(self) -> list[task_pb2.DropCount]:
        """The counts for the wire, by the reasons that occurred."""
        numbers = zip(REASONS, (self.overload, self.stale, self.corrupt), strict=True)
        return [task_pb2.DropCount(reason=reason, count=number) for reason, number in numbers if number]


class ChunkTotals(msgspec.Struct, frozen=True, array_like=True):
    """Chunks of a stream, their bytes, chunks lost, the last sequence, and damaged bytes.

    Counted once over all attempts.
    """

    chunks: Natural = 0
    size: Natural = 0
    missing: Natural = 0
    last: int = -1
    damaged: Natural = 0

    def plus(self, sequence: int, size: int, missing: int) -> ChunkTotals:
        """Add the next chunk; a chunk that was counted before changes nothing."""
        if sequence <= self.last:
            return self
        return ChunkTotals(self.chunks + 1, self.size + size, self.missing + missing, sequence, self.damaged)

    def with_damage(self, damaged: int) -> ChunkTotals:
        """With this many more damaged bytes."""
        if not damaged:
            return self
        return msgspec.structs.replace(self, damaged=self.damaged + damaged)
