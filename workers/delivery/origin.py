"""When a stream's media clock stood at 0, on the clock of whoever stamped its chunks."""

from __future__ import annotations

from workers.chunk import Chunk


def origin_unix_ms(first: Chunk, media_ms: int) -> int | None:
    """UNIX milliseconds of media time 0, from a stream's first chunk, whose media end at `media_ms`.

    A chunk is stamped when it is complete: by the client, else by the gateway. None: it has no stamp.
    """
    stamped = first.capture_ms if first.capture_ms is not None else first.received_ms
    return None if stamped is None else stamped - media_ms
