"""One WebSocket connection. The only module that imports the `websockets` library."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from talkup_client.errors import AuthenticationError, ConnectionLostError, SettingError

MAX_MESSAGE_BYTES = 16 * 2**20
WRITE_LIMIT_BYTES = 256 * 1024
PING_INTERVAL_S = 20.0
PING_TIMEOUT_S = 20.0
WS_PATH = "/ws"
_AUTHENTICATION_STATUSES = (401, 403)

Sleep = Callable[[float], Awaitable[object]]


class TransportClosedError(Exception):
    """The connection is closed. `code` as in RFC 6455 7.4; 1006 without a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


def parts_of(url: str) -> SplitResult:
    """The parts of a URL. Raises SettingError for an invalid URL or port."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise SettingError(f"invalid URL: {url.rpartition('@')[2]}", field="url") from None
    return parts


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine. Raises SettingError for an invalid URL."""
    host = parts_of(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ssl_context(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    """TLS settings for a URL; `ca_file` adds a private CA. Raises SettingError for a file without a certificate."""
    if urlsplit(url).scheme not in ("wss", "https"):
        return None
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise SettingError(f"{ca_file} contains no readable certificate") from None
    return context


class _CountedConnection(ClientConnection):
    """Counts the bytes that arrive, in any frame."""

    received_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Called by the event loop."""
        self.received_bytes += len(data)
        super().data_received(data)


class Transport:
    """Text and bytes in both directions; created by `open_transport`."""

    def __init__(self, connection: _CountedConnection, sleep: Sleep) -> None:
        self._connection = connection
        self._sleep = sleep
        self._keepalive = asyncio.create_task(self._ping_until_silent())

    async def send(self, message: str | bytes) -> None:
        """Send a message; wait while the other end does not read. Raises TransportClosedError."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            self._keepalive.cancel()
            raise _closed(error) from None

    async def receive(self) -> str | bytes:
        """The next message. Raises TransportClosedError."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            self._keepalive.cancel()
            raise _closed(error) from None

    async def close(self) -> None:
        """Close with 1000; safe to call twice."""
        self._keepalive.cancel()
        await self._connection.close()

    def abort(self) -> None:
        """Drop the connection without a close frame, like a broken network."""
        self._keepalive.cancel()
        self._connection.transport.abort()

    async def _ping_until_silent(self) -> None:
        """Drop the connection once a ping stays unanswered while nothing else arrives either.

        A gateway that is behind does not read, so the ping waits with the media before it. It still writes: reports of
        how far it is behind, results, pings. Whatever arrives shows that the connection works.
        """
        while True:
            await self._sleep(PING_INTERVAL_S)
            received = self._connection.received_bytes
            pong = asyncio.ensure_future(self._pong())
            patience = asyncio.ensure_future(self._sleep(PING_TIMEOUT_S))
            try:
                await asyncio.wait({pong, patience}, return_when=asyncio.FIRST_COMPLETED)
                if not pong.done() and self._connection.received_bytes == received:
                    self._connection.transport.abort()
                    return
            finally:
                for waiting in (pong, patience):
                    waiting.cancel()

    async def _pong(self) -> None:
        with suppress(ConnectionClosed):
            await (await self._connection.ping())


def _closed(error: ConnectionClosed) -> TransportClosedError:
    return TransportClosedError(error.rcvd.code, error.rcvd.reason) if error.rcvd else TransportClosedError(1006, "")


async def open_transport(
    url: str,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    *,
    timeout_s: float,
    sleep: Sleep = asyncio.sleep,
) -> Transport:
    """Connect.

    Raises AuthenticationError when the gateway refuses the credential, SettingError for an invalid URL or an untrusted
    certificate, and ConnectionLostError for everything else.
    """
    try:
        connection = await connect(
            url,
            additional_headers=headers,
            ssl=tls,
            open_timeout=timeout_s,
            max_size=MAX_MESSAGE_BYTES,
            write_limit=WRITE_LIMIT_BYTES,
            ping_interval=None,
            create_connection=_CountedConnection,
            proxy=None if is_loopback(url) else True,
        )
    except (InvalidProxy, ImportError):
        # The library needs another one for SOCKS.
        raise SettingError("the proxy that the environment names cannot be used: expected http://host:port") from None
    except ProxyError:
        raise ConnectionLostError(f"no connection to {place(url)}: the proxy refuses it", retryable=True) from None
    except InvalidURI:
        raise SettingError("not a WebSocket URL: expected ws://host:port/ws or wss://host/ws") from None
    except InvalidStatus as error:
        raise _refused(url, error.response.status_code) from None
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(error) from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        problem = f"no connection to {place(url)}: {_why(url, error, timeout_s)}"
        raise ConnectionLostError(problem, retryable=True) from None
    assert isinstance(connection, _CountedConnection)
    return Transport(connection, sleep)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The verified certificate of a TLS port: its names, and the time until it expires."""

    names: tuple[str, ...]
    seconds_left: float


async def read_certificate(url: str, tls: ssl.SSLContext | None, *, timeout_s: float = 10.0) -> Certificate | None:
    """The certificate of a wss:// URL, None for ws://. Raises SettingError if it is untrusted, ConnectionLostError."""
    if tls is None:
        return None
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=tls, server_hostname=parts.hostname
            )
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(error) from None
    except (OSError, TimeoutError) as error:
        raise ConnectionLostError(f"no connection to {place(url)}: {_why(url, error, timeout_s)}") from None
    shown = writer.get_extra_info("peercert") or {}
    writer.transport.abort()
    names = tuple(str(name) for _, name in shown.get("subjectAltName", ()))
    return Certificate(names, ssl.cert_time_to_seconds(shown["notAfter"]) - time.time())


def _untrusted(error: ssl.SSLCertVerificationError) -> SettingError:
    return SettingError(
        f"the gateway's certificate is not trusted: {error.verify_message} (a private CA: --ca FILE, ca_file=)"
    )


def place(url: str) -> str:
    """Host and port of a URL, for messages."""
    return urlsplit(url).netloc.rpartition("@")[2]


def _refused(url: str, status: int) -> AuthenticationError | ConnectionLostError:
    """The error for an HTTP status that refuses the WebSocket."""
    if status in _AUTHENTICATION_STATUSES:
        return AuthenticationError("the gateway refuses this credential")
    if status == HTTPStatus.NOT_FOUND and urlsplit(url).path != WS_PATH:
        hint = f"the path of a gateway's WebSocket is {WS_PATH}"
    elif status == HTTPStatus.NOT_FOUND:
        hint = "this port serves no WebSockets (`make run`: 8081 for ws://, 8443 for wss://; 8080 is HTTP)"
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        hint = "the gateway is restarting"
    elif status == HTTPStatus.TOO_MANY_REQUESTS:
        hint = "too many wrong credentials came from this address"
    else:
        hint = f"the server answered the handshake with HTTP {status}"
    return ConnectionLostError(f"no connection to {place(url)}: {hint}", retryable=True)


def _why(url: str, error: Exception, timeout_s: float) -> str:
    """The likely cause of a failed connection, for the user."""
    match error:
        case TimeoutError():
            return f"no answer within {timeout_s:g} s"
        case socket.gaierror():
            return "unknown host name"
        case InvalidMessage():
            return "the server there does not speak WebSocket; if the port uses TLS, use wss://"
        case OSError() if _is_refusal(error):
            return "nobody listens there; is the gateway running, and is this its WebSocket port?"
        case OSError() if urlsplit(url).scheme == "wss":
            return "the TLS handshake failed; if the port does not use TLS, use ws://"
    return "the connection broke"


def _is_refusal(error: OSError) -> bool:
    """Whether the connection was refused: by one address, or by all addresses of a name (asyncio joins their texts)."""
    return error.errno == errno.ECONNREFUSED or (error.errno is None and f"Errno {errno.ECONNREFUSED}]" in str(error))
