"""The gateway's HTTP port: sessions, transcripts, reports, health. Standard library only, with a thread per request."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from talkup_client.errors import BadAnswerError, ConnectionLostError, SettingError, TalkupError, from_error_data
from talkup_client.proxies import proxy_for
from talkup_client.transport import is_loopback, parts_of, ssl_context

MAX_BODY_BYTES = 64 * 2**20
_DEV_HTTP_PORT = 8080
_DEV_WS_PORTS = (8081, 8443)


def http_url_of(ws_url: str) -> str:
    """The likely URL of a gateway's HTTP port: `make run` uses 8080, and a proxy serves both at the same address."""
    parts = parts_of(ws_url)
    if is_loopback(ws_url) and parts.port in _DEV_WS_PORTS:
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"http://{host}:{_DEV_HTTP_PORT}"
    return f"{'https' if parts.scheme == 'wss' else 'http'}://{parts.netloc.rpartition('@')[2]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `body` is its JSON value, or None if it has none; `text` is what it holds, empty if too long."""

    status: int
    headers: Mapping[str, str]
    body: Any = field(repr=False)
    text: str = field(default="", repr=False)

    def checked(self) -> Answer:
        """Return this answer. Raises the gateway's error, as a TalkupError, for a status of 400 or more."""
        if self.status < HTTPStatus.BAD_REQUEST:
            return self
        error = self.body.get("error") if isinstance(self.body, dict) else None
        if not isinstance(error, dict):
            problem = f"HTTP {self.status}, not from a gateway (--http-url names its HTTP port)"
            raise BadAnswerError(problem, retryable=self._is_server_error)
        raise from_error_data({"retryable": self._is_server_error, **error})

    @property
    def _is_server_error(self) -> bool:
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR


class HttpApi:
    """One gateway. `credential` is an API key or a session token; it is sent over http:// to loopback only.

    Raises SettingError for an invalid URL.
    """

    def __init__(
        self, url: str, *, credential: str | None = None, ca_file: Path | None = None, timeout_s: float = 10.0
    ) -> None:
        parts = parts_of(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingError("not an HTTP URL: expected http://host:port or https://host", field="http_url")
        if parts.scheme == "http" and credential and not is_loopback(url):
            raise SettingError("a credential would travel unencrypted: use https://", field="http_url")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        self._tls = ssl_context(self.url, ca_file)
        self._headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        self._proxy = proxy_for(self.url)
        self._timeout_s = timeout_s

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None, wait_s: float = 0.0) -> Answer:
        """Send a GET request; `wait_s` extends the timeout. Raises ConnectionLostError or BadAnswerError."""
        return await self._request("GET", path, dict(headers or {}), wait_s)

    async def post(self, path: str) -> Answer:
        """Send a POST request. Raises ConnectionLostError or BadAnswerError."""
        return await self._request("POST", path, {}, 0.0)

    async def _request(self, method: str, path: str, headers: dict[str, str], wait_s: float) -> Answer:
        parts, proxy = urlsplit(self.url), self._proxy
        headers = {**self._headers, **headers}
        place = parts.netloc if proxy is None else proxy.place
        timeout = self._timeout_s + wait_s
        connection = (
            http.client.HTTPConnection(place, timeout=timeout)
            if self._tls is None
            else http.client.HTTPSConnection(place, timeout=timeout, context=self._tls)
        )
        if proxy is not None and self._tls is None:
            path, headers = f"{self.url}{path}", {**headers, **proxy.headers}
        elif proxy is not None:
            connection.set_tunnel(parts.hostname or "", parts.port or 443, dict(proxy.headers))
        try:
            return await asyncio.to_thread(_exchange, connection, method, path, headers)
        except asyncio.CancelledError:
            # Make the thread return at once, so that it does not delay the end of the program.
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            raise
        except (OSError, http.client.HTTPException) as error:
            raise self._translated(error) from None

    def _translated(self, error: Exception) -> TalkupError:
        match error:
            case http.client.HTTPException() if not isinstance(error, OSError):
                return BadAnswerError(
                    f"the server at {self.url} does not speak HTTP (--http-url names the gateway's HTTP port)"
                )
            case TimeoutError():
                why = "no answer in time"
            case socket.gaierror():
                why = "unknown host name"
            case ConnectionRefusedError():
                why = "nobody listens there; is the gateway running, and is this its HTTP port (--http-url)?"
            case _:
                why = "the connection broke"
        through = f" through the proxy {self._proxy.place}" if self._proxy is not None else ""
        return ConnectionLostError(f"no connection to {self.url}{through}: {why}", retryable=True)


def _exchange(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]) -> Answer:
    """One request and its response, in a thread. Raises OSError and HTTPException."""
    try:
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        raw = response.read(MAX_BODY_BYTES + 1)
    finally:
        connection.close()
    text = raw.decode("utf-8", "replace") if len(raw) <= MAX_BODY_BYTES else ""
    try:
        body = json.loads(raw) if text else None
    except (ValueError, RecursionError):
        body = None
    return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body, text)
