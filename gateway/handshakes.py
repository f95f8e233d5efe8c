"""The answers to WebSocket handshakes, and the credential in one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.access.shares import Refused
from gateway.access.terms import Door, Terms
from gateway.auth import AuthError
from gateway.client_socket import ClientSocket
from gateway.credentials import SUBPROTOCOL, Credential, of_handshake
from gateway.http import HEALTHZ, READYZ
from gateway.origins import Origins
from gateway.refusals import CredentialFailures
from gateway.request_head import RequestHead
from gateway.sessions.context import GatewayContext

WS_PATH: Final = "/ws"
HSTS: Final = "max-age=31536000"  # RFC 6797
_FORWARDED: Final = "X-Forwarded-For"
_HEALTH_PATHS: Final = frozenset({HEALTHZ, READYZ})
# What a client is asked to wait for while the gateway restarts.
_RESTART_S: Final = 5


class HandshakePolicy:
    """Which handshakes are refused. A few invalid credentials are not: the connection reports them."""

    def __init__(
        self,
        context: GatewayContext,
        failures: CredentialFailures,
        origins: Origins,
        is_draining: Callable[[], bool],
    ) -> None:
        self._context = context
        self._failures = failures
        self._origins = origins
        self._is_draining = is_draining

    def can_check(self, request: Request) -> bool:
        """Whether `check` can be called at once, without `prepare`."""
        return self._context.authenticator.can_check(credential_of(request).text)

    async def prepare(self, request: Request) -> None:
        """Wait until the credential of a request can be checked."""
        await self._context.authenticator.prepare(credential_of(request).text)

    def check(self, request: Request, peername: Any) -> Response | None:  # noqa: ANN401 - what asyncio knows of a peer
        """The refusal of a request that cannot become a connection; None: it may."""
        path = _path_of(request)
        if path in _HEALTH_PATHS:
            return self._health(path, request.method)
        if path != WS_PATH:
            return plain(HTTPStatus.NOT_FOUND, "WebSockets are served at /ws")
        if not _all_origins(request, self._origins.allows):
            return plain(HTTPStatus.FORBIDDEN, "pages of this origin may not connect; see allowed_origins")
        if self._is_draining():
            return plain(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is restarting", _RESTART_S)
        credential = credential_of(request)
        return None if credential.text is None else self._check_owner(credential, credential.text, request, peername)

    def rate_refusal(self, request: RequestHead) -> bytes | None:
        """The refusal, as it is written, of a request whose owner is above its rate; None for all that need a parser.

        What websockets would find wrong with the request is not looked for.
        """
        credential = credential_of(request)
        if (
            credential.text is None
            or _path_of(request) != WS_PATH
            or not _all_origins(request, self._origins.includes)
            or self._is_draining()
            or not self._context.authenticator.can_check(credential.text)
        ):
            return None
        try:
            terms = self._terms(credential)
        except AuthError:
            return None
        over = self._context.shares.over_rate(terms)
        return None if over is None else _written(*self._over(over))

    def _check_owner(self, credential: Credential, text: str, request: Request, peername: Any) -> Response | None:  # noqa: ANN401
        """Refuse an owner above its rate, and an invalid credential from a client that has failed too often.

        A credential that comes as a message is heard in any case: `max_unauthenticated` bounds who waits for it.
        """
        try:
            terms = self._terms(credential)
        except AuthError as error:
            address = client_of(self._failures, peername, request.headers)
            retry_after_s = self._failures.retry_after_s(address, text)
            if retry_after_s is None:
                return None  # the connection reports it: browsers do not see the answer to a handshake
            self._failures.record(Door.HANDSHAKE, address, text, error)
            return plain(HTTPStatus.TOO_MANY_REQUESTS, "too many invalid credentials", retry_after_s)
        over = self._context.shares.charge(terms)
        return None if over is None else plain(*self._over(over))

    def _terms(self, credential: Credential) -> Terms:
        """What its owner may do. Raises AuthError."""
        check = self._context.authenticator.check
        return check(credential.text, Door.HANDSHAKE, keys_allowed=credential.may_be_key).terms

    def _over(self, over: Refused) -> tuple[HTTPStatus, str, int]:
        self._context.metrics.share_refusals.labels(over.reason).inc()
        return HTTPStatus.TOO_MANY_REQUESTS, over.text, math.ceil(over.wait_s or 1)

    def _health(self, path: str, method: str) -> Response:
        """Health, for load balancers that probe the port which they send connections to."""
        serving = path == HEALTHZ or (self._context.upstream.ready() and not self._is_draining())
        status = HTTPStatus.OK if serving else HTTPStatus.SERVICE_UNAVAILABLE
        response = plain(status, "ok" if serving else "not ready")
        if method == "HEAD":
            response.body = b""
        return response


def _all_origins(request: Request | RequestHead, is_allowed: Callable[[str, str], bool]) -> bool:
    """Whether every origin that a request names is allowed at the host that it names."""
    origins = request.headers.get_all("Origin")
    host = "".join(request.headers.get_all("Host")[:1]) if origins else ""
    return all(is_allowed(origin, host) for origin in origins)


def _path_of(request: Request | RequestHead) -> str:
    """The path of a request; empty if its target is no URL."""
    try:
        return urlsplit(request.path).path
    except ValueError:
        return ""


def credential_of(request: Request | RequestHead) -> Credential:
    """The credential of a handshake, wherever in it the client has put it."""
    offered = [
        name.strip() for header in request.headers.get_all("Sec-WebSocket-Protocol") for name in header.split(",")
    ]
    authorization = request.headers.get_all("Authorization")
    return of_handshake(request.path, authorization[0] if authorization else None, offered)


def client_of(failures: CredentialFailures, peername: Any, headers: Headers) -> str:  # noqa: ANN401 - what asyncio knows of a peer
    """The address of a client that sent these headers, for counting failures."""
    peer = str(peername[0]) if isinstance(peername, tuple) and peername else "unknown"
    return failures.client_of(peer, headers.get_all(_FORWARDED))


def choose_subprotocol(_socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Never choose the subprotocol that carries a credential: proxies log responses."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def plain(status: HTTPStatus, text: str, retry_after_s: int | None = None) -> Response:
    """An answer in plain text that ends the connection."""
    body = f"{text}\n".encode()
    headers = Headers(
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Content-Type-Options": "nosniff",
        }
    )
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(status, status.phrase, headers, body)


@lru_cache(maxsize=64)
def _written(status: HTTPStatus, text: str, retry_after_s: int) -> bytes:
    return plain(status, text, retry_after_s).serialize()


def answer(socket: ServerConnection, _request: Request, response: Response) -> None:
    """Read nothing more until the credential of the handshake has been checked: what comes next may be large."""
    if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and isinstance(socket, ClientSocket):
        socket.hold()


def answer_tls(socket: ServerConnection, request: Request, response: Response) -> None:
    """The same over TLS."""
    answer(socket, request, response)
    response.headers["Strict-Transport-Security"] = HSTS
