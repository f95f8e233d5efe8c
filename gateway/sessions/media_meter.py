"""How much media of each stream was worked on since the last look. Pure."""

from __future__ import annotations


class MediaMeter:
    """Counts the media of one session's streams, in milliseconds. Several services of a stream count once."""

    def __init__(self) -> None:
        self._counted: dict[str, int | None] = {}

    def begin_resumed(self, stream_id: str) -> None:
        """The stream ran at another gateway, which counted its media so far."""
        self._counted[stream_id] = None

    def added(self, stream_id: str, media_ms: int) -> int:
        """What was worked on since the last call; `media_ms` counts from the beginning of the stream."""
        before = self._counted.get(stream_id, 0)
        self._counted[stream_id] = media_ms if before is None else max(before, media_ms)
        return 0 if before is None else max(0, media_ms - before)

    def forget(self, stream_id: str) -> None:
        """The stream has ended."""
        self._counted.pop(stream_id, None)
