"""Limits on both sides of the contract: whatever the gateway accepts, a worker accepts too."""

import msgspec
import pytest

from gateway.protocol.limits import Limits
from gateway.protocol.messages import StreamStart
from gateway.upstream.channel import MAX_MESSAGE_BYTES
from workers.config import WorkerConfig
from workers.media.isolation.decoder_stream import StreamLimits
from workers.stt.options import ENDPOINTING_MS

_HEADER_BYTES = 64 * 1024


def test_the_largest_chunk_of_a_client_reaches_the_decoder() -> None:
    chunk = Limits().max_chunk_bytes
    assert chunk <= StreamLimits().max_payload_bytes
    assert chunk + _HEADER_BYTES <= WorkerConfig().max_message_bytes
    assert chunk + _HEADER_BYTES <= MAX_MESSAGE_BYTES
    assert StreamLimits().max_replay_bytes >= 4 * chunk


@pytest.mark.parametrize("value", [ENDPOINTING_MS[0], ENDPOINTING_MS[-1]])
def test_gateway_and_worker_take_the_same_pauses(value: int) -> None:
    assert msgspec.convert({"endpointing_ms": value}, StreamStart).endpointing_ms == value
    for beyond in (ENDPOINTING_MS[0] - 1, ENDPOINTING_MS[-1] + 1):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"endpointing_ms": beyond}, StreamStart)
