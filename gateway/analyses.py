"""The parts of a stream's analysis that are stored with its transcript: windows, events and summaries. Values only."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_PER_STREAM: Final = 10_000
"""How many are kept of one stream, not counting its summaries; four hours of windows are fewer than 3000."""


class StoredAnalysis(msgspec.Struct, frozen=True):
    """One window, event or summary.

    `key` says which, and is unique in its stream: `delivery/window/10000`, `delivery/summary`,
    `vision/event/smile/1200` (times are `t0_ms`). A later one with the same key replaces an earlier one. `data`: JSON
    of the `data` of an `analysis_result` that holds nothing else.
    """

    key: str
    data: bytes

    @property
    def is_summary(self) -> bool:
        """Whether it covers the whole stream."""
        return self.key.endswith("/summary")
