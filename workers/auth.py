"""Who may call: bearer tokens in metadata, checked before a call reaches the service.

Client certificates are checked by the TLS handshake (see tls.py); where both are configured, both are needed. Health
answers everyone, so that orchestrators need no credential; reflection is open on loopback and guarded elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final, Never

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection
from talkup.v1 import error_pb2

from workers.errors import RefusedError, details, status_of, trailing_metadata

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    _Handler = grpc.RpcMethodHandler[object, object]
    _Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]]

_MISSING: Final = RefusedError(error_pb2.ERROR_CODE_UNAUTHENTICATED, "a bearer token is needed")
_WRONG: Final = RefusedError(error_pb2.ERROR_CODE_UNAUTHENTICATED, "the bearer token is not known")


class TokenSet:
    """The tokens that are let in, kept as digests. Comparing takes the same time whatever is shown."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, token: object) -> bool:
        shown = _digest(str(token))
        return sum(hmac.compare_digest(shown, known) for known in self._digests) > 0


class AuthInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Lets a call through when it shows a known token; without tokens configured, every call."""

    def __init__(self, tokens: Iterable[str], *, open_reflection: bool) -> None:
        self._tokens = TokenSet(tokens)
        names = [health.SERVICE_NAME] + ([reflection.SERVICE_NAME] if open_reflection else [])
        self._open = tuple(f"/{name}/" for name in names)

    async def intercept_service(
        self, continuation: _Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> _Handler:
        handler = await continuation(handler_call_details)
        if handler is None or not self._tokens or handler_call_details.method.startswith(self._open):
            return handler
        token = bearer_token(handler_call_details.invocation_metadata)
        if token in self._tokens:
            return handler
        return _refusing(handler, _MISSING if token is None else _WRONG)


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


def _refusing(handler: _Handler, error: RefusedError) -> _Handler:
    """A handler of the same shape that ends every call with the refusal."""

    async def refuse(_request: object, context: grpc.aio.ServicerContext[object, object]) -> Never:
        await context.abort(status_of(error.code), details(error), trailing_metadata(error))
        raise AssertionError("abort returned")

    if handler.request_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
    else:
        make = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
    return make(refuse, handler.request_deserializer, handler.response_serializer)
