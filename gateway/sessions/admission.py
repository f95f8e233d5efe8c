"""What the owner of a session may begin: its terms and its share, as problems for its client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from talkup.v1 import task_pb2

from gateway.access.shares import Refused, Room
from gateway.access.terms import Terms
from gateway.protocol.errors import Code, Problem
from gateway.protocol.negotiation import StreamSpec, slot_name
from gateway.sessions.context import GatewayContext

_CODES: Final[Mapping[str, Code]] = {
    "rate": Code.RATE_LIMITED,
    "service": Code.PERMISSION_DENIED,
    "streams": Code.TOO_MANY_STREAMS,
    "media": Code.MEDIA_LIMIT,
    "slots": Code.BUSY,
}
IDLE: Final = Problem(Code.BUSY, "the stream was idle for too long and others wait for its slot; start a new one")


def admit_stream(context: GatewayContext, terms: Terms, spec: StreamSpec, can_wait: bool) -> Problem | None:
    """Why an owner may not begin a stream; None: it may. A client that cannot wait is not asked to wait for a slot."""
    shares = context.shares
    refused = shares.charge(terms) or shares.check_stream(terms, spec.service_names, calls=len(spec.services))
    if refused is None and can_wait:
        rooms: dict[str, Room | None] = {slot_name(each): _room(context, each) for each in spec.services}
        refused = shares.check_slots(terms, rooms)
    return None if refused is None else problem_of(context, refused)


def problem_of(context: GatewayContext, refused: Refused) -> Problem:
    """Count a refusal; returns the error for its client."""
    context.metrics.share_refusals.labels(refused.reason).inc()
    return Problem(
        _CODES[refused.reason],
        refused.text,
        field="services" if refused.reason == "service" else None,
        retry_after_ms=None if refused.wait_s is None else int(refused.wait_s * 1000) + 1,
    )


def _room(context: GatewayContext, service: task_pb2.ServiceType) -> Room | None:
    room = context.upstream.room(service)
    return None if room is None else Room(*room)
