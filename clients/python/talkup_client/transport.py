"""One WebSocket connection: the only module that knows the `websockets` library."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from talkup_client.errors import AuthenticationError, ConnectionLostError, SettingError

MAX_MESSAGE_BYTES = 16 * 2**20
WRITE_LIMIT_BYTES = 256 * 1024
_AUTHENTICATION_STATUSES = (401, 403)


class TransportClosedError(Exception):
    """The connection is gone. `code` as in RFC 6455 7.4; 1006 when no close frame came."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def ssl_context(url: str, ca_file: Path | None) -> ssl.SSLContext | None:
    """TLS settings for a URL; `ca_file` adds a private CA. Raises SettingError for a file that is no certificate."""
    if urlsplit(url).scheme != "wss":
        return None
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise SettingError(f"{ca_file} holds no certificate that can be read") from None
    return context


class Transport:
    """Text and bytes both ways; made by `open_transport`."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, message: str | bytes) -> None:
        """Send a message; waits while the other end does not read. Raises TransportClosedError."""
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def receive(self) -> str | bytes:
        """The next message. Raises TransportClosedError."""
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def close(self) -> None:
        """Close with 1000; safe to call twice."""
        await self._connection.close()

    def abort(self) -> None:
        """Drop the connection without a close frame, as a broken network does."""
        self._connection.transport.abort()


def _closed(error: ConnectionClosed) -> TransportClosedError:
    return TransportClosedError(error.rcvd.code, error.rcvd.reason) if error.rcvd else TransportClosedError(1006, "")


async def open_transport(
    url: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, *, timeout_s: float
) -> Transport:
    """Connect.

    Raises AuthenticationError when the handshake is refused for want of a right credential, SettingError for a URL that
    is none, ConnectionLostError for everything else.
    """
    try:
        connection = await connect(
            url,
            additional_headers=headers,
            ssl=tls,
            open_timeout=timeout_s,
            max_size=MAX_MESSAGE_BYTES,
            write_limit=WRITE_LIMIT_BYTES,
            proxy=None if is_loopback(url) else True,
        )
    except InvalidURI:
        raise SettingError("the URL is not one of a WebSocket: ws://host:port/ws or wss://host/ws") from None
    except InvalidStatus as error:
        status = error.response.status_code
        if status in _AUTHENTICATION_STATUSES:
            raise AuthenticationError("the gateway refuses this credential") from None
        raise ConnectionLostError(f"the gateway answered the handshake with HTTP {status}", retryable=True) from None
    except ssl.SSLCertVerificationError as error:
        raise SettingError(
            f"the gateway's certificate is not trusted: {error.verify_message} (a private CA: --ca FILE, ca_file=)"
        ) from None
    except (OSError, TimeoutError, InvalidHandshake):
        host = urlsplit(url).netloc.rpartition("@")[2]
        raise ConnectionLostError(f"no connection to {host}", retryable=True) from None
    return Transport(connection)
