"""Translation of measured values: what could not be measured is null, and numbers are rounded to single precision."""

from __future__ import annotations

import math

from google.protobuf.message import Message
from talkup.v1 import analysis_pb2

from gateway.protocol import messages as m


def measure(holder: Message, name: str) -> m.MeasureData | None:
    """A measured value; None if it is absent or not a number."""
    if not holder.HasField(name):
        return None
    found: analysis_pb2.Measure = getattr(holder, name)
    if not math.isfinite(found.value):
        return None
    return m.MeasureData(value=finite(found.value), confidence=fraction(found.confidence))


def finite(value: float) -> float:
    """A single-precision number rounded to its significant digits; 0 for NaN and infinities."""
    return float(f"{value:.6g}") if math.isfinite(value) else 0.0


def fraction(value: float) -> float:
    """A probability, limited to the range from 0 to 1."""
    return min(1.0, max(0.0, finite(value)))
