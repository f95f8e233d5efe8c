"""Every limit that a client can meet: what it bounds, what the client gets, and which metric counts it.

docs/operations.md shows this table. A test keeps the two alike, and checks each row against settings and metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.admission import Refused
from gateway.analyses import MAX_PER_STREAM
from gateway.config import GatewayConfig
from gateway.doors.openai_realtime.door import MAX_EVENT_BYTES
from gateway.doors.sockets import MAX_MESSAGE_BYTES
from gateway.doors.telephony.twilio_door import MAX_MESSAGE_BYTES as TWILIO_BYTES
from gateway.doors.wyoming.framing import MAX_DATA_BYTES, MAX_LINE_BYTES, MAX_PAYLOAD_BYTES
from gateway.http_report import AT_ONCE
from gateway.long_poll import MAX_PER_SESSION, MAX_WAIT_S, MAX_WAITING
from gateway.protocol.delivery import MAX_WORDS
from gateway.protocol.errors import Code
from gateway.protocol.limits import Limits
from gateway.protocol.talking_over import MAX_STRETCHES
from gateway.refusal_pace import FRAMES_BURST, FRAMES_PER_S, LONGEST_WAIT_S, MISTAKES, REFUSED_BURST, REFUSED_PER_S
from gateway.refusals import BURST, REFILL_S

_CORE: Final = Limits()
_CONFIG: Final = GatewayConfig()


class Counted(StrEnum):
    """What a limit bounds if there are several processes (`processes`), in words.

    ALIKE: one client, connection or message, so that the number of processes makes no difference. DIVIDED: the limit is
    for the whole gateway, and each process has its part. EACH: every process counts for itself.
    """

    ALIKE = ""
    DIVIDED = "divided"
    EACH = "in each"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. `setting`: its name in GatewayConfig; None: `fixed` in this version.

    `error`: the code that the client gets; None: `answer` says what happens instead. `metric`: name and label.
    """

    what: str
    answer: str
    metric: str
    setting: str | None = None
    fixed: str = ""
    error: Code | None = None
    counted: Counted = Counted.ALIKE

    @property
    def value(self) -> str:
        """The default, in words."""
        if self.setting is None:
            return self.fixed
        value = getattr(_CONFIG, self.setting)
        if self.setting.endswith("_bytes"):
            return _bytes(value)
        return f"{value:g} s" if self.setting.endswith("_s") else f"{value:g}"


def _bytes(size: float) -> str:
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= scale:
            return f"{size / scale:g} {unit}"
    return f"{size:g} bytes"


def _refused(port: str, reason: Refused) -> str:
    return f'gateway_connections_refused_total{{port="{port}",reason="{reason}"}}'


def _errors(code: Code) -> str:
    return f'gateway_errors_total{{code="{code}"}}'


def _message(what: str, code: Code, answer: str = "error", setting: str | None = None, fixed: str = "") -> Limit:
    return Limit(what, answer, _errors(code), setting, fixed, code)


_WS = "websocket"
_AUTH_FAILURES = "gateway_auth_failures_total"

LIMITS: Final = (
    Limit("TLS and WebSocket handshake, time", "closed", _refused(_WS, Refused.NO_REQUEST), "handshake_s"),
    Limit("handshake, header", "431", _refused(_WS, Refused.NO_REQUEST), fixed="128 lines of 8 KiB"),
    Limit("sockets that have not authenticated", "the oldest: close 1013", _refused(_WS, Refused.WAITING),
          "max_unauthenticated", error=Code.BUSY, counted=Counted.DIVIDED),
    Limit("the same, from one address", "the oldest: close 1013", _refused(_WS, Refused.ADDRESS),
          "max_unauthenticated_per_address", error=Code.BUSY, counted=Counted.DIVIDED),
    _message("time to authenticate", Code.UNAUTHENTICATED, "close 4401", "auth_timeout_s"),
    _message("message before authentication", Code.PAYLOAD_TOO_LARGE, "close 1009", "max_unauthenticated_bytes"),
    Limit("invalid credentials of an address", "429", _AUTH_FAILURES,
          fixed=f"{BURST}, then one every {REFILL_S:g} s", error=Code.RATE_LIMITED, counted=Counted.DIVIDED),
    _message("message", Code.PAYLOAD_TOO_LARGE, "close 1009", "max_message_bytes"),
    _message("message without media", Code.PAYLOAD_TOO_LARGE, setting="max_control_bytes"),
    _message("chunk", Code.PAYLOAD_TOO_LARGE, fixed=_bytes(_CORE.max_chunk_bytes)),
    _message("values in a message", Code.BAD_MESSAGE, fixed=str(_CORE.max_json_values)),
    _message("levels of lists and objects in a message", Code.BAD_MESSAGE, fixed=str(_CORE.max_json_depth)),
    Limit("refused messages of a socket", "read later", "gateway_refusal_pauses_total",
          fixed=f"{REFUSED_PER_S:g} per second, {REFUSED_BURST} at once"),
    Limit("refused messages of a key, or of an address without one", f"read later, by at most {LONGEST_WAIT_S:g} s",
          "gateway_refusal_pauses_total", counted=Counted.EACH,
          fixed=f"{REFUSED_PER_S:g} per second, {REFUSED_BURST} at once; {MISTAKES} of each socket are free, "
          f"and one more for each accepted message, up to {REFUSED_BURST}"),
    Limit("frames", "read later", "gateway_frame_pauses_total",
          fixed=f"{FRAMES_PER_S} per second, {FRAMES_BURST} at once"),
    _message("messages that are not chunks", Code.RATE_LIMITED,
             fixed=f"{_CORE.control_per_second:g} per second, {_CORE.control_burst} at once"),
    _message("refused messages in a row", Code.RATE_LIMITED, "close 1008", fixed=str(_CORE.max_refused)),
    Limit("unread bytes of all sockets", "the largest: close 1013", "gateway_inbound_overflows_total",
          "max_inbound_bytes", error=Code.BUSY, counted=Counted.DIVIDED),
    Limit("messages that a client does not read", "close 1008", "gateway_outbox_overflows_total", "outbox_messages"),
    Limit("bytes that a client does not read", "close 1008", "gateway_outbox_overflows_total", "outbox_bytes"),
    Limit("sessions", "close 1013", _errors(Code.BUSY), "max_sessions", error=Code.BUSY, counted=Counted.DIVIDED),
    _message("open streams of a session", Code.TOO_MANY_STREAMS, fixed=str(_CORE.max_open_streams)),
    _message("streams of a session, ever", Code.TOO_MANY_STREAMS, fixed=str(_CORE.max_streams)),
    _message("media of a stream, time", Code.MEDIA_LIMIT, setting="worker_stream_s"),
    _message("media of a stream, bytes", Code.MEDIA_LIMIT, fixed=_bytes(_CORE.max_stream_bytes)),
    _message("chunks that wait for an earlier one", Code.GAP,
             fixed=f"{_CORE.window_chunks}, {_bytes(_CORE.window_bytes)}, {_CORE.gap_seconds:g} s"),
    Limit("HTTP connections", "closed", _refused("http", Refused.FULL), "max_http_connections",
          counted=Counted.DIVIDED),
    Limit("HTTP connections of one address without a request", "the oldest: closed",
          _refused("http", Refused.ADDRESS), "max_http_per_address", counted=Counted.DIVIDED),
    Limit("HTTP request, time for its header", "closed", _refused("http", Refused.SLOW), "http_request_s"),
    _message("HTTP request, time for its body", Code.DEADLINE_EXCEEDED, "408", "http_request_s"),
    _message("HTTP request, body", Code.PAYLOAD_TOO_LARGE, "413", "max_http_body_bytes"),
    _message("recording that a dialect takes", Code.PAYLOAD_TOO_LARGE, "413", "max_recording_bytes"),
    _message("recording, slowest pace in bytes per second", Code.DEADLINE_EXCEEDED, "408", "min_upload_rate"),
    _message("recording in a form of OpenAI's dialect", Code.PAYLOAD_TOO_LARGE, "413", "max_form_file_bytes"),
    Limit("recordings in forms that wait for their options", "503", _errors(Code.BUSY), "max_form_spool_bytes",
          error=Code.BUSY, counted=Counted.DIVIDED),
    Limit("recordings of dialects at once, part of the slots", "503", _errors(Code.BUSY), "recordings_share",
          error=Code.BUSY, counted=Counted.DIVIDED),
    Limit("WebSocket message of a dialect", "close 1009", 'gateway_closes_total{code="1009"}',
          fixed=_bytes(MAX_MESSAGE_BYTES)),
    Limit("event of OpenAI's Realtime dialect", "close 1009", 'gateway_closes_total{code="1009"}',
          fixed=_bytes(MAX_EVENT_BYTES)),
    Limit("Wyoming connections", "the oldest without an event: closed", _refused("wyoming", Refused.FULL),
          "max_wyoming_connections", counted=Counted.DIVIDED),
    Limit("event of Wyoming: line, data, payload", "closed", _errors(Code.PAYLOAD_TOO_LARGE),
          fixed=f"{_bytes(MAX_LINE_BYTES)}, {_bytes(MAX_DATA_BYTES)}, {_bytes(MAX_PAYLOAD_BYTES)}",
          error=Code.PAYLOAD_TOO_LARGE),
    Limit("message of Twilio's dialect", "close 1009", 'gateway_closes_total{code="1009"}', fixed=_bytes(TWILIO_BYTES)),
    Limit("HTTP connection without a request, after the first", "closed", "none", "http_idle_s"),
    Limit("long polls, of all and of one session", "answered at once", "gateway_long_polls_refused_total",
          fixed=f"{MAX_WAITING}, {MAX_PER_SESSION}, each {MAX_WAIT_S} s", counted=Counted.EACH),
    Limit("reports that are made at once", "wait", "none", fixed=str(AT_ONCE), counted=Counted.EACH),
    Limit("windows and events that are kept of a stream", "later ones are not", "gateway_store_analyses_dropped_total",
          fixed=str(MAX_PER_STREAM)),
    Limit("speech of a stream that waits for a silent stream, or for its clock", "the oldest is not compared",
          "gateway_speech_forgotten_total", fixed=f"{MAX_STRETCHES} stretches, {MAX_WORDS} words"),
)  # fmt: skip
"""In the order in which a client meets them."""


def cells() -> list[tuple[str, ...]]:
    """The rows of the table in docs/operations.md."""
    return [
        (
            limit.what,
            limit.value,
            "" if limit.setting is None else f"`{limit.setting}`",
            limit.answer if limit.error is None else f"`{limit.error}`, {limit.answer}".removesuffix(", error"),
            "" if limit.metric == "none" else f"`{limit.metric}`",
            str(limit.counted),
        )
        for limit in LIMITS
    ]
