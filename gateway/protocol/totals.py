"""The counts of a stream over its entire life, for `stream_ended` and for a gateway that continues the stream."""

from __future__ import annotations

import msgspec


class Totals(msgspec.Struct):
    """Counts of a stream, named and ordered as in `stream_ended`.

    `missing_chunks` are lost for good, in `gaps` holes. Snapshots store the counts under the names given here as
    `name`.
    """

    chunks: int = 0
    bytes: int = 0
    gaps: int = 0
    missing_chunks: int = msgspec.field(default=0, name="missing")
    duplicate_chunks: int = msgspec.field(default=0, name="duplicates")
    orphan_chunks: int = msgspec.field(default=0, name="orphans")
    failovers: int = 0
    damaged_bytes: int = msgspec.field(default=0, name="damaged")
    speech_without_words_ms: int = msgspec.field(default=0, name="wordless_ms")

    def note_ended(self, damaged_bytes: int, speech_without_words_ms: int) -> None:
        """Take the counts of a service that has ended: services that hear the same media count the same damage."""
        self.damaged_bytes = max(self.damaged_bytes, damaged_bytes)
        self.speech_without_words_ms = max(self.speech_without_words_ms, speech_without_words_ms)

    def count_gap(self, first: int, last: int) -> None:
        """Count the chunks from `first` to `last` as one hole."""
        self.gaps += 1
        self.missing_chunks += max(0, last - first + 1)
