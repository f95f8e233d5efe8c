"""What a client asked for, checked: the names of the signals. Pure."""

from __future__ import annotations

from typing import Final

from talkup.v1 import analysis_pb2, error_pb2

from workers.engine import EngineError

FILLED_PAUSES: Final = "filled_pauses"
SIGNALS: Final = ("pace", "pauses", "repeats", FILLED_PAUSES, "loudness", "pitch")


def wanted_signals(asked: analysis_pb2.DeliveryOptions) -> frozenset[str]:
    """The signals of one stream; none named: all but `filled_pauses`.

    Raises EngineError (bad_message) naming the field.
    """
    if any(name not in SIGNALS for name in asked.signals):
        raise EngineError(
            error_pb2.ERROR_CODE_BAD_MESSAGE, f"one or more of {', '.join(SIGNALS)}", field="delivery.signals"
        )
    return frozenset(asked.signals) or frozenset(SIGNALS) - {FILLED_PAUSES}
