"""Ephemeral keys: a token that opens one session for a while, and the session's configuration. Pure.

A secret is `ek_TOKEN.CONFIGURATION`. The configuration is not signed: whoever holds the secret may change it anyway,
with `session.update`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.doors.openai_realtime.configuration import Configuration
from gateway.doors.options import refused
from gateway.doors.steps import RefusedError
from gateway.protocol.errors import Code, Problem

DEFAULT_S: Final = 600
MIN_S: Final = 10
MAX_S: Final = 7200
MAX_SESSION_BYTES: Final = 2048
_PREFIX: Final = "ek_"


class ExpiresAfter(Struct):
    """When a secret expires: seconds after its creation."""

    seconds: int = DEFAULT_S
    anchor: str = "created_at"


class SecretRequest(Struct):
    """What a client asks for. Unknown fields are ignored."""

    expires_after: ExpiresAfter | None = None
    session: dict[str, Any] = {}


class _Kept(Struct, array_like=True):
    is_beta: bool
    session: dict[str, Any]


def request_of(body: bytes, *, is_beta: bool) -> SecretRequest:
    """The request for a secret; in the beta the whole body is the session's configuration. Raises RefusedError."""
    try:
        if is_beta:
            return SecretRequest(session=msgspec.json.decode(body or b"{}", type=dict[str, Any]))
        request = msgspec.json.decode(body or b"{}", type=SecretRequest)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        text = "the body is not a JSON object with `session` and `expires_after`"
        raise RefusedError(Problem(Code.BAD_JSON, text)) from None
    if request.expires_after is not None and not MIN_S <= request.expires_after.seconds <= MAX_S:
        raise refused("expires_after.seconds", f"must be a whole number from {MIN_S} to {MAX_S}")
    return request


def configured(session: Mapping[str, Any], *, is_beta: bool) -> Configuration:
    """The configuration of a session. Raises RefusedError."""
    return Configuration().updated_as_beta(session) if is_beta else Configuration().updated(session)


def secret_of(token: str, session: dict[str, Any], *, is_beta: bool) -> str:
    """The secret of a token and a configuration that `configured` accepts. Raises RefusedError if it is too long."""
    kept = msgspec.json.encode(_Kept(is_beta, session))
    if len(kept) > MAX_SESSION_BYTES:
        raise refused("session", f"a secret holds at most {MAX_SESSION_BYTES} bytes of configuration")
    return f"{_PREFIX}{token}.{base64.urlsafe_b64encode(kept).decode().rstrip('=')}"


def is_secret(credential: str | None) -> bool:
    """Whether a credential is a secret, and neither a key nor another token."""
    return credential is not None and credential.startswith(_PREFIX) and credential.count(".") == 3


def token_of(secret: str) -> str:
    """The token of a secret."""
    return secret.removeprefix(_PREFIX).rpartition(".")[0]


def configuration_of(secret: str) -> Configuration:
    """The configuration of a secret. Raises RefusedError."""
    text = secret.rpartition(".")[2]
    try:
        kept = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Kept)
    except (msgspec.DecodeError, UnicodeError, RecursionError, binascii.Error, ValueError):
        raise RefusedError(Problem(Code.UNAUTHENTICATED, "the client secret is malformed")) from None
    return configured(kept.session, is_beta=kept.is_beta)
