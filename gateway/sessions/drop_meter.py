"""How many chunks of each stream were dropped since this gateway has the stream. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.protocol.messages import StreamEndedData
from gateway.protocol.totals import Totals


class DropMeter:
    """Remembers what the streams of one session had dropped before they came to this gateway."""

    def __init__(self) -> None:
        self._before: dict[str, Mapping[str, int]] = {}

    def begin_resumed(self, stream_id: str, totals: Totals) -> None:
        """The stream ran at another gateway, which counted these."""
        self._before[stream_id] = _by_reason(totals)

    def ended(self, stream_id: str, totals: StreamEndedData) -> Mapping[str, int]:
        """What was dropped here, by reason; call this once the stream has ended.

        `missing` chunks never came or were lost, `duplicate` ones came twice, and `orphan` ones came too late or
        without the header of their container.
        """
        before = self._before.pop(stream_id, {})
        return {reason: max(0, count - before.get(reason, 0)) for reason, count in _by_reason(totals).items()}


def _by_reason(totals: Totals | StreamEndedData) -> Mapping[str, int]:
    return {
        "missing": totals.missing_chunks,
        "duplicate": totals.duplicate_chunks,
        "orphan": totals.orphan_chunks,
    }
