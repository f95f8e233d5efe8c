"""The answers to WebSocket handshakes, and the credential in one."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.client_socket import ClientSocket
from gateway.credentials import SUBPROTOCOL, Credential, of_handshake

_HSTS: Final = "max-age=31536000"  # RFC 6797


def credential_of(request: Request) -> Credential:
    """The credential of a handshake, wherever in it the client has put it."""
    offered = [
        name.strip() for header in request.headers.get_all("Sec-WebSocket-Protocol") for name in header.split(",")
    ]
    authorization = request.headers.get_all("Authorization")
    return of_handshake(request.path, authorization[0] if authorization else None, offered)


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


def answer(socket: ServerConnection, _request: Request, response: Response) -> None:
    """Read nothing more until the credential of the handshake has been checked: what comes next may be large."""
    if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS and isinstance(socket, ClientSocket):
        socket.hold()


def answer_tls(socket: ServerConnection, request: Request, response: Response) -> None:
    """The same over TLS."""
    answer(socket, request, response)
    response.headers["Strict-Transport-Security"] = _HSTS
