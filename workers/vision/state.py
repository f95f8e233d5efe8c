"""`resume_state` of a vision stream: MessagePack, a few hundred bytes to a few KB; no picture and no face is in it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from workers.vision.analyzer import AnalyzerState
from workers.vision.counts import ChunkTotals, Counts
from workers.vision.sources import Restart
from workers.vision.windows import unpack_samples

VERSION = 2
_KIND = "vision"


class VisionState(msgspec.Struct, frozen=True, array_like=True):
    """The whole state, as of the frame that the progress belongs to; `told`: the reported reasons for refusals."""

    kind: str
    version: int
    restart: Restart
    counts: Counts
    totals: ChunkTotals
    analyzer: AnalyzerState
    told: list[str] = []


def pack(
    restart: Restart, counts: Counts, totals: ChunkTotals, analyzer: AnalyzerState, told: Sequence[str] = ()
) -> bytes:
    """To the wire."""
    return msgspec.msgpack.encode(VisionState(_KIND, VERSION, restart, counts, totals, analyzer, list(told)))


def unpack(data: bytes) -> VisionState:
    """From the wire. Raises ValueError for bytes that are not a state of this version."""
    try:
        state = msgspec.msgpack.decode(data, type=VisionState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not a vision state") from error
    if state.kind != _KIND or state.version != VERSION:
        raise ValueError("a vision state of another version")
    unpack_samples(state.analyzer.windows.recent)
    return state
