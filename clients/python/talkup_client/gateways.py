"""The gateways that a client may connect to, tried in turn; the last one that answered comes first."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from talkup_client.error_codes import ERROR_CODES
from talkup_client.errors import (
    SESSION_ENDS,
    ConnectionLostError,
    SettingError,
    TalkupError,
    from_error_data,
)
from talkup_client.events import ErrorReceived, Message, SessionOpened, parse
from talkup_client.transport import Transport, TransportClosedError, is_loopback, open_transport, parts_of, ssl_context

FINAL_CLOSES: dict[int, type[TalkupError]] = {
    **{close: SESSION_ENDS[code] for code, (close, _, ends) in ERROR_CODES.items() if ends and close is not None},
    1008: ConnectionLostError,
}
"""Close codes after which reconnecting cannot help: those of errors that end the session, and policy violation."""
_LOSSES = {1006: "the connection broke", 1012: "the gateway is restarting or was stopped"}

Dispatch = Callable[[Message | None], None]


class Gateways:
    """Gateways that share sessions. Raises SettingError for an invalid URL or file, or a credential in plain text."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        credential: str | None,
        ca_file: Path | None,
        allow_plaintext: bool,
        timeout_s: float,
        traceparent: str | None = None,
    ) -> None:
        if not urls:
            raise SettingError("at least one URL is needed", field="url")
        for url in urls:
            _check_url(url, may_be_plain=not credential or allow_plaintext)
        self._urls = list(urls)
        self._credential = credential
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self._trace = {"traceparent": traceparent} if traceparent else {}
        self._tls = {url: ssl_context(url, ca_file) for url in urls}
        self._timeout_s = timeout_s

    @property
    def credential(self) -> str | None:
        """The key or token that opens sessions."""
        return self._credential

    def use(self, credential: str) -> None:
        """Open the next connections with another key or token."""
        self._credential = credential
        self._headers = {"Authorization": f"Bearer {credential}"}

    @property
    def urls(self) -> tuple[str, ...]:
        """The gateways, the current one first."""
        return tuple(self._urls)

    def tls_of(self, url: str) -> ssl.SSLContext | None:
        """The TLS settings for one of `urls`; None for ws://."""
        return self._tls[url]

    def rotate(self) -> None:
        """Make the next gateway the current one."""
        self._urls.append(self._urls.pop(0))

    async def open_any(self, dispatch: Dispatch) -> tuple[Transport, SessionOpened]:
        """Open a session at the first gateway that answers. Raises the last one's error when none does."""
        for _ in self._urls[1:]:
            with suppress(ConnectionLostError):
                return await self.open(dispatch)
        return await self.open(dispatch)

    async def open(self, dispatch: Dispatch) -> tuple[Transport, SessionOpened]:
        """Open a session at the current gateway; if that fails, the next attempt goes to the next gateway.

        `dispatch` receives messages that arrive before `session`. Raises ConnectionLostError, or the gateway's refusal.
        """
        url = self._urls[0]
        self.rotate()
        transport = await open_transport(
            url, {**self._headers, **self._trace}, self._tls[url], timeout_s=self._timeout_s
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                session = await await_session(transport, dispatch)
        except TalkupError:
            await transport.close()
            raise
        except BaseException as error:
            transport.abort()
            if isinstance(error, TimeoutError):
                raise ConnectionLostError("no session was opened in time", retryable=True) from None
            raise
        self._urls.insert(0, self._urls.pop())
        return transport, session


async def await_session(transport: Transport, dispatch: Dispatch) -> SessionOpened:
    """Read until `session`; earlier messages go to `dispatch`. Raises the gateway's error if one arrives instead."""
    while True:
        try:
            message = parse(await transport.receive())
        except TransportClosedError as closed:
            raise FINAL_CLOSES.get(closed.code, ConnectionLostError)(why_closed(closed)) from None
        match message:
            case SessionOpened():
                return message
            case ErrorReceived(stream_id=None):
                raise from_error_data(message.data)
            case _:
                dispatch(message)


def why_closed(closed: TransportClosedError) -> str:
    """The reason of a close, for the user."""
    return _LOSSES.get(closed.code) or closed.reason or f"the gateway closed the connection ({closed.code})"


def _check_url(url: str, *, may_be_plain: bool) -> None:
    parts = parts_of(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise SettingError("not a WebSocket URL: expected ws://host:port/ws or wss://host/ws", field="url")
    if parts.scheme == "ws" and not may_be_plain and not is_loopback(url):
        raise SettingError("a credential would travel unencrypted: use wss://", field="url")
