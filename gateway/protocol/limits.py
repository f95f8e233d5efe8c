"""How much one session may ask for. Every limit of the protocol core is defined here."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.protocol.json_text import JsonBounds


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one session; sizes in bytes, times in seconds unless the name says otherwise."""

    max_message_bytes: int = 4 * 1024 * 1024
    # Until the client has sent a valid credential.
    max_unauthenticated_bytes: int = 16 * 1024
    # A message without media, and the values and levels of any JSON.
    max_control_bytes: int = JsonBounds.control_bytes
    max_json_values: int = JsonBounds.values
    max_json_depth: int = JsonBounds.depth
    max_chunk_bytes: int = 2 * 1024 * 1024
    max_open_streams: int = 8
    # Over the entire life of the session, ended streams included.
    max_streams: int = 1000
    max_stream_bytes: int = 8 * 1024**3
    max_stream_media_ms: int = 4 * 3600 * 1000
    # Out-of-order chunks held per stream until the hole before them is filled.
    window_chunks: int = 256
    window_bytes: int = 8 * 1024 * 1024
    gap_seconds: float = 2.0
    ack_interval: float = 1.0
    auth_timeout: float = 5.0
    # All messages except accepted chunks count; those are slowed down by backpressure instead.
    control_per_second: float = 50.0
    control_burst: int = 200
    # After this many refusals in a row the socket closes.
    max_refused: int = 1000
    # Finals kept per stream for resending on resume, and messages kept while there is no socket.
    kept_segments: int = 10_000
    kept_messages: int = 2048
    # Ended streams that a client can still ask about on resume.
    kept_streams: int = 32

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")

    def message_bytes(self, *, is_authenticated: bool) -> int:
        """The largest message of a client."""
        return self.max_message_bytes if is_authenticated else self.max_unauthenticated_bytes

    def json_bounds(self) -> JsonBounds:
        """What a client's JSON may hold."""
        return JsonBounds(self.max_control_bytes, self.max_json_values, self.max_json_depth)
