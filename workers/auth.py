"""Who may call: names in client certificates, and bearer tokens in metadata."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from talkup.v1 import error_pb2

from workers.errors import RefusedError

ANY_CLIENT: Final = "*"
"""In the list of allowed clients: every certificate that the CA has signed."""

_MISSING: Final = "a bearer token is needed"
_WRONG: Final = "the bearer token is not known"
_STRANGER: Final = "the client's certificate has no name that may call this worker"


class TokenSet:
    """The accepted tokens, kept as digests. Comparing takes the same time whatever token is shown."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, token: object) -> bool:
        shown = _digest(str(token))
        return sum(hmac.compare_digest(shown, known) for known in self._digests) > 0


class AccessRules:
    """Which calls are accepted. Without names, any client certificate is; without tokens, any metadata is."""

    def __init__(self, tokens: Iterable[str], clients: Iterable[str]) -> None:
        self._tokens = TokenSet(tokens)
        names = frozenset(clients)
        self._clients = frozenset[str]() if ANY_CLIENT in names else names

    def check(self, metadata: Sequence[tuple[str, str | bytes]], connection: Mapping[str, Iterable[bytes]]) -> None:
        """Check a call's metadata, and what gRPC knows of its connection.

        Raises RefusedError: PERMISSION_DENIED for another client's certificate, UNAUTHENTICATED for the token.
        """
        if self._clients and self._clients.isdisjoint(certificate_names(connection)):
            raise RefusedError(error_pb2.ERROR_CODE_PERMISSION_DENIED, _STRANGER)
        if self._tokens:
            token = bearer_token(metadata)
            if token not in self._tokens:
                raise RefusedError(error_pb2.ERROR_CODE_UNAUTHENTICATED, _MISSING if token is None else _WRONG)


def certificate_names(connection: Mapping[str, Iterable[bytes]]) -> set[str]:
    """The names in a client's certificate: its alternative names, or the common name if it has none (RFC 6125 6.4.4).

    `connection` is gRPC's authentication context.
    """
    names = connection.get("x509_subject_alternative_name") or connection.get("x509_common_name") or ()
    return {name.decode("utf-8", "replace") for name in names}


def bearer_token(metadata: Sequence[tuple[str, str | bytes]]) -> str | None:
    """The token of `authorization: Bearer TOKEN` (RFC 6750); None where there is none."""
    for name, value in metadata:
        if name == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and token:
                return token.strip()
    return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
