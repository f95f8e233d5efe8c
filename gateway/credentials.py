"""The credential of a handshake: in the Authorization header, a subprotocol pair, or the query. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from gateway.auth import bearer

SUBPROTOCOL = "talkup.v1"
_BEARER_PREFIX = "bearer."


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as presented. `may_be_key` is false for the query, which proxies log: it may only hold a token."""

    text: str | None = field(default=None, repr=False)
    may_be_key: bool = True


def of_handshake(target: str, authorization: str | None, subprotocols: Sequence[str]) -> Credential:
    """The credential of a WebSocket handshake: the header, else the subprotocol pair, else `?token=`.

    `target` is the request target with its query; `subprotocols` are the offered names in order.
    """
    header = bearer(authorization)
    if header is not None:
        return Credential(header)
    for name in subprotocols:
        if name.startswith(_BEARER_PREFIX) and len(name) > len(_BEARER_PREFIX):
            return Credential(name.removeprefix(_BEARER_PREFIX))
    try:
        tokens = parse_qs(urlsplit(target).query, max_num_fields=32).get("token", [])
    except ValueError:
        return Credential()
    return Credential(tokens[0], may_be_key=False) if tokens else Credential()
