"""Answers that need no session: the pong of a ping, and the last messages to a refused socket."""

from __future__ import annotations

from msgspec import UNSET

from gateway.protocol import messages as m
from gateway.protocol.actions import Action, CloseSocket, ResumeSession, SendMessage
from gateway.protocol.errors import ERRORS, CloseCode, Code, Problem
from gateway.protocol.rate_limit import Refusal
from gateway.protocol.translate import error_message


def refusal(code: Code, message: str, retry_after_ms: int | None = None) -> list[Action]:
    """Send a client the reason why its connection ends, then close it with the code from the error table."""
    close = ERRORS[code].close or CloseCode.POLICY
    return [
        SendMessage(error_message(Problem(code, message, retry_after_ms=retry_after_ms))),
        CloseSocket(int(close), str(code)),
    ]


def too_large(limit: int) -> list[Action]:
    """Refuse a message of more than `limit` bytes; the socket closes."""
    return refusal(Code.PAYLOAD_TOO_LARGE, f"at most {limit} bytes per message")


def resume_session(message: m.SessionResume) -> ResumeSession:
    """What a client asks for that returns, with what it says it holds."""
    points = message.streams
    return ResumeSession(
        message.session_id,
        message.token,
        last_segment_ids={point.stream_id: point.last_segment_id for point in points},
        last_deliveries={point.stream_id: point.last_delivery for point in points if point.last_delivery is not None},
    )


def rate_limited(refused: Refusal) -> list[Action]:
    """The answer to a message over the rate limit; not every one gets one."""
    text = "too many messages"
    if refused.closes:
        return refusal(Code.RATE_LIMITED, text)
    wait_ms = int(refused.wait_s * 1000) + 1
    problem = Problem(Code.RATE_LIMITED, text, retry_after_ms=wait_ms)
    return [SendMessage(error_message(problem))] if refused.is_reported else []


def pong(ping: m.Ping, now: float) -> m.Pong:
    """Echo a ping: an object unchanged, any other `data` under `echo`."""
    data: dict[str, object] = {}
    if isinstance(ping.data, dict):
        data.update(ping.data)
    elif ping.data is not UNSET:
        data["echo"] = ping.data
    if ping.payload is not UNSET:
        data["payload"] = ping.payload
    if ping.timestamp_ms is not None:
        data["client_time_ms"] = ping.timestamp_ms
    data["server_time_ms"] = int(now * 1000)
    return m.Pong(payload=ping.payload, data=data)
