"""The last message of a stream: its totals and its text."""

from __future__ import annotations

import msgspec

from gateway.protocol import messages as m
from gateway.protocol import translate
from gateway.protocol.segments import Segments
from gateway.protocol.services import Services
from gateway.protocol.totals import Totals


def ended_message(
    session_id: str, stream_id: str, totals: Totals, services: Services, segments: Segments
) -> m.StreamEnded:
    """`stream_ended`, once every service has ended."""
    data = m.StreamEndedData(
        stream_id=stream_id,
        **msgspec.structs.asdict(totals),
        media_seconds=services.media_ms / 1000,
        segments=segments.count,
        dropped=translate.dropped(services.dropped),
        text=segments.text,
        text_id=f"{session_id}/{stream_id}",
    )
    return m.StreamEnded(stream_id=stream_id, data=data)
