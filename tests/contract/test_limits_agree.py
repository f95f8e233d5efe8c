"""Limits on both sides of the contract: whatever the gateway accepts, a worker accepts too."""

from gateway.protocol.limits import Limits
from gateway.upstream.channel import MAX_MESSAGE_BYTES
from workers.config import WorkerConfig
from workers.media.isolation.decoder_stream import StreamLimits

_HEADER_BYTES = 64 * 1024


def test_the_largest_chunk_of_a_client_reaches_the_decoder() -> None:
    chunk = Limits().max_chunk_bytes
    assert chunk <= StreamLimits().max_payload_bytes
    assert chunk + _HEADER_BYTES <= WorkerConfig().max_message_bytes
    assert chunk + _HEADER_BYTES <= MAX_MESSAGE_BYTES
    assert StreamLimits().max_replay_bytes >= 4 * chunk
