"""The summary of a whole stream from what was carried over. Pure."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

from talkup.v1 import analysis_pb2

from workers.delivery.state import DeliveryState
from workers.delivery.windows import WINDOW_MS, Wanted, window_message


def summary(state: DeliveryState, media_ms: int, wanted: Wanted) -> analysis_pb2.DeliverySummary:
    """The whole stream up to `media_ms`, with its pace curve, its pauses by length and the moments to hear again."""
    whole = window_message(state.whole, state.base_ms, media_ms, wanted, state.baseline)
    whole.whole_session = True
    found = analysis_pb2.DeliverySummary(whole=whole)
    if wanted.has("pace"):
        found.pace.extend(_pace(state, media_ms))
    if wanted.has("pauses"):
        found.pauses.extend(state.whole.pauses.buckets())
    for moment in state.moments.messages():
        moment.t0_ms += state.base_ms
        moment.t1_ms += state.base_ms
        found.moments.append(moment)
    return found


def _pace(state: DeliveryState, media_ms: int) -> Iterator[analysis_pb2.PacePoint]:
    """One point for each window whose pace was measured."""
    for number, (rate,) in enumerate(struct.iter_unpack("<f", state.pace)):
        begin = state.base_ms + number * WINDOW_MS
        middle = (begin + min(begin + WINDOW_MS, media_ms)) // 2
        if not math.isnan(rate):
            yield analysis_pb2.PacePoint(media_time_ms=middle, words_per_minute=rate)
