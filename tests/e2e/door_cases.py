"""Who is refused at which door, and how. Each row makes one attempt against a running gateway and names its answer."""

from __future__ import annotations

import asyncio
import json
import ssl
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import jwt

from settings.errors import SettingError
from tests.e2e.gateway_rig import KEY, Rig, settings
from tests.fakes.raw_websocket import CLOSE, TEXT, RawWebSocket, frame

SECRET = "a secret of this test, of 32 bytes and more"
METRICS_TOKEN = "a token that reads metrics"
SETTINGS = {
    "token_secret": SECRET,
    "metrics_token": METRICS_TOKEN,
    "allowed_origins": "https://app.example,https://*.pages.example",
    "public_url": "wss://gateway.example/ws",
    "doors": "all",
    "ping_interval_s": "3600",
    "auth_timeout_s": "1",
}


@dataclass(frozen=True)
class Row:
    """One attempt. `answer` is what it gets."""

    door: str
    shows: str
    answer: str
    attempt: Callable[[Rig], Awaitable[str]]


async def _websocket(at: Rig, *messages: bytes, path: str = "/ws", **headers: str) -> str:
    """Shake hands, send messages; the answers up to a close, or the status that refuses the handshake."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    socket = await RawWebSocket.open(at.gateway.ws_port, path=path, headers=named)
    if socket.status != 101:
        return str(socket.status)
    await socket.send(*messages)
    said = []
    while (found := await socket.read()) is not None:
        if found.opcode == TEXT:
            said.append(found.message["data"].get("code") or found.message["type"])
        if found.opcode == CLOSE:
            said.append(f"close {found.close_code}")
            break
        if said and said[-1] in ("session", "permission_denied") and not messages:
            break
    socket.abort()
    return ", ".join(dict.fromkeys(said))


def _message(kind: str, **data: str) -> bytes:
    return frame(TEXT, json.dumps({"type": kind, "data": data}).encode())


def _shows(**headers: str) -> Callable[[Rig], Awaitable[str]]:
    return lambda at: _websocket(at, **headers)


def _from(origin: str) -> Callable[[Rig], Awaitable[str]]:
    return lambda at: _websocket(at, Authorization=f"Bearer {KEY}", Origin=origin)


def _signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> Callable[[Rig], Awaitable[str]]:
    """A session's token, signed again with other claims; None removes one."""

    async def attempt(at: Rig) -> str:
        token = (await at.mint())["token"]
        known = jwt.decode(token, options={"verify_signature": False})
        changed = {name: value for name, value in {**known, **claims}.items() if value is not None}
        header = {name: value for name, value in jwt.get_unverified_header(token).items() if name == "kid"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            forged = jwt.encode(changed, None if algorithm == "none" else secret, algorithm, header)
        return await _websocket(at, Authorization=f"Bearer {forged}")

    return attempt


async def _cut_token(at: Rig) -> str:
    return await _websocket(at, Authorization=f"Bearer {(await at.mint())['token'][:-8]}")


async def _resume_token(at: Rig) -> str:
    socket = await RawWebSocket.open(at.gateway.ws_port, headers={"Authorization": f"Bearer {KEY}"})
    token = (await socket.until("session"))["data"]["resume_token"]
    return await _websocket(at, Authorization=f"Bearer {token}")


async def _deleted(at: Rig) -> str:
    minted = await at.mint()
    headers = {"Authorization": f"Bearer {minted['token']}"}
    socket = await RawWebSocket.open(at.gateway.ws_port, headers=headers)
    await socket.until("session")
    status, _, _ = await at.request("DELETE", f"/v1/sessions/{minted['session_id']}")
    assert status == 204
    return await _websocket(at, **headers)


async def _resume_of_another(at: Rig) -> str:
    mine, other = await at.mint(), await at.mint()
    return await _websocket(at, _message("session_resume", session_id=other["session_id"], token=mine["token"]))


async def _resume_of_nothing(at: Rig) -> str:
    return await _websocket(at, _message("session_resume", session_id="nobody", token=KEY))


async def _request(at: Rig, *, head: str, **headers: str) -> str:
    """Send a request line to the WebSocket port; the status."""
    socket = await RawWebSocket.connect(at.gateway.ws_port)
    await socket.send(f"{head}\r\nHost: x\r\n".encode())
    await socket.send("".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items()).encode())
    await socket.send(b"\r\n")
    line = await socket.line()
    socket.abort()
    return line.split(" ")[1] if line else "closed"


async def _tls(at: Rig, **limits: Any) -> str:
    """A TLS handshake that offers only this."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("minimum_version", "maximum_version"):
            if name in limits:
                setattr(context, name, limits[name])
        context.set_ciphers(f"{limits.get('ciphers', 'ALL')}:@SECLEVEL=0")
    try:
        socket = await RawWebSocket.open(at.gateway.wss_port, tls=context)
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return "no handshake"
    socket.abort()
    return f"{socket.status}, {socket.headers.get('strict-transport-security', 'no HSTS')}"


def _offers(**limits: Any) -> Callable[[Rig], Awaitable[str]]:
    return lambda at: _tls(at, **limits)


async def _plain_at_tls(at: Rig) -> str:
    socket = await RawWebSocket.connect(at.gateway.wss_port)
    await socket.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")
    await socket.at_eof()
    return "no handshake"


def _http(
    method: str, path: str, credential: str | None = None, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Callable[[Rig], Awaitable[str]]:
    """A request; `{id}` in the path is a session, `own` and `other` as credential are its token and another's."""

    async def attempt(at: Rig) -> str:
        own, other = await at.mint(), await at.mint()
        shown = {"own": own["token"], "other": other["token"]}.get(credential or "", credential)
        given = {**(headers or {}), **({"Authorization": f"Bearer {shown}"} if shown else {})}
        url = at.url(path.replace("{id}", own["session_id"]))
        async with at.http.request(method, url, headers=given, data=body or None) as answer:
            may_read = answer.headers.get("Access-Control-Allow-Origin")
            code = (await answer.json())["error"]["code"] if answer.status >= 400 else ""
            if headers and "Origin" in headers:
                return f"{answer.status}, {'readable' if may_read else 'not readable'}"
            return f"{answer.status} {code}".strip()

    return attempt


def _start(**values: str) -> Callable[[Rig], Awaitable[str]]:
    """Start with settings."""

    async def attempt(_at: Rig) -> str:
        try:
            settings([], **values)
        except SettingError as error:
            return f"no start: `{error.setting}`"
        return "starts"

    return attempt


def _dialect(path: str, *messages: str, **headers: str) -> Callable[[Rig], Awaitable[str]]:
    """A socket of a dialect at the HTTP port: its status, or its close after these messages."""

    async def attempt(at: Rig) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            async with at.http.ws_connect(at.url(path), headers=named) as socket:
                if not messages:
                    return "101"
                for message in messages:
                    await socket.send_str(message)
                await socket.receive()
                return f"close {socket.close_code}"
        except aiohttp.WSServerHandshakeError as error:
            return f"{error.status} {(error.headers or {}).get('dg-error', '')}".strip()

    return attempt


_CALL = '{"event":"start","sequenceNumber":"1","start":{"customParameters":{"token":"wrong"}}}'
_REALTIME = "/v1/realtime?intent=transcription"
_RAW = "/v1/listen?encoding=mulaw"
REFUSED = "unauthenticated, close 4401"
WS, TLS, HTTP, INSIDE, START = "WebSocket", "TLS", "HTTP", "HTTP, about the gateway", "start"
DEEPGRAM, OPENAI, CALLS = "Deepgram's dialect", "OpenAI's dialect", "telephony"
PUBLIC = {"http_host": "0.0.0.0", "public_url": ""}

ROWS = (
    Row(WS, "an API key", "session", _shows(Authorization=f"Bearer {KEY}")),
    Row(WS, "no credential, and sends none", REFUSED, _shows()),
    Row(WS, "a wrong key in the header", REFUSED, _shows(Authorization="Bearer wrong")),
    Row(WS, "a wrong key as a subprotocol", REFUSED, _shows(Sec_WebSocket_Protocol="talkup.v1, bearer.wrong")),
    Row(WS, "an API key in the URL", REFUSED, lambda at: _websocket(at, path=f"/ws?token={KEY}")),
    Row(WS, "a wrong key in a message", REFUSED, lambda at: _websocket(at, _message("auth", token="wrong"))),
    Row(WS, "another message first", REFUSED, lambda at: _websocket(at, _message("status"))),
    Row(WS, "a token that is cut off", REFUSED, _cut_token),
    Row(WS, "a token signed with another secret", REFUSED, _signed("another secret of this test, of 32 bytes")),
    Row(WS, "a token without a signature", REFUSED, _signed(algorithm="none")),
    Row(WS, "a token signed with another algorithm", REFUSED, _signed(algorithm="HS512")),
    Row(WS, "a token that has expired", REFUSED, _signed(exp=1_000_000_000)),
    Row(WS, "a token that never expires", REFUSED, _signed(exp=None)),
    Row(WS, "a token for another audience", REFUSED, _signed(aud="somebody")),
    Row(WS, "a resume token, at the handshake", REFUSED, _resume_token),
    Row(WS, "the token of a deleted session", "session_expired, close 1008", _deleted),
    Row(WS, "a token of another session, to resume", "permission_denied, close 4403", _resume_of_another),
    Row(WS, "an API key, to resume an unknown session", "session_expired, close 4401", _resume_of_nothing),
    Row(WS, "a configured origin", "session", _from("https://app.example")),
    Row(WS, "a subdomain of a configured name", "session", _from("https://a.b.pages.example")),
    Row(WS, "the gateway's own origin", "session", _from("http://127.0.0.1:8080")),
    Row(WS, "another origin", "403", _from("https://evil.example")),
    Row(WS, "the origin `null`", "403", _from("null")),
    Row(WS, "a configured origin without TLS", "403", _from("http://app.example")),
    Row(WS, "a name that begins like a configured one", "403", _from("https://app.example.evil.example")),
    Row(WS, "the name above configured subdomains", "403", _from("https://pages.example")),
    Row(WS, "a name that ends like a configured one", "403", _from("https://evilpages.example")),
    Row(WS, "another path", "404", lambda at: _websocket(at, path="/admin")),
    Row(WS, "no upgrade", "426", lambda at: _request(at, head="GET /ws HTTP/1.1")),
    Row(WS, "another method", "405", lambda at: _request(at, head="POST /ws HTTP/1.1")),
    Row(WS, "another version of WebSocket", "400", _shows(Sec_WebSocket_Version="8")),
    Row(WS, "an invalid key of the handshake", "400", _shows(Sec_WebSocket_Key="short")),
    Row(WS, "a header of 20 KB", "431", lambda at: _request(at, head="GET /ws HTTP/1.1", X_Long="x" * 20_000)),
    Row(WS, "20 KB before authentication", "payload_too_large, close 1009",
        lambda at: _websocket(at, _message("auth", token="x" * 20_000))),
    Row(WS, "100 KB before authentication", "close 1009", lambda at: _websocket(at, frame(TEXT, b"x" * 100_000))),
    Row(TLS, "TLS 1.3", "101, max-age=31536000", _offers(minimum_version=ssl.TLSVersion.TLSv1_3)),
    Row(TLS, "TLS 1.2 with AES-GCM", "101, max-age=31536000",
        _offers(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE+AESGCM")),
    Row(TLS, "TLS 1.2 with CBC only", "no handshake",
        _offers(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE+AES:!AESGCM:!AESCCM")),
    Row(TLS, "TLS 1.2 without forward secrecy", "no handshake",
        _offers(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="kRSA+AESGCM")),
    Row(TLS, "TLS 1.1", "no handshake",
        _offers(minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)),
    Row(TLS, "TLS 1.0", "no handshake",
        _offers(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1)),
    Row(TLS, "no TLS", "no handshake", _plain_at_tls),
    Row(HTTP, "nothing, for a new session", "401 unauthenticated", _http("POST", "/v1/sessions")),
    Row(HTTP, "a wrong key, for a new session", "401 unauthenticated", _http("POST", "/v1/sessions", "wrong")),
    Row(HTTP, "a token, for a new session", "401 unauthenticated", _http("POST", "/v1/sessions", "own")),
    Row(HTTP, "a wrong key, as TalkUp's backend", "401 unauthenticated",
        _http("POST", "/process/initialization", body=b'{"key":"wrong"}')),
    Row(HTTP, "nothing, for a transcript", "401 unauthenticated", _http("GET", "/v1/sessions/{id}/transcript")),
    Row(HTTP, "the token of another session, for a transcript", "403 permission_denied",
        _http("GET", "/v1/sessions/{id}/transcript", "other")),
    Row(HTTP, "the token of another session, to delete", "403 permission_denied",
        _http("DELETE", "/v1/sessions/{id}", "other")),
    Row(HTTP, "a key, for an unknown session", "404 session_expired",
        _http("GET", "/v1/sessions/nobody/transcript", KEY)),
    Row(HTTP, "its token, from a page of another origin", "404, not readable",
        _http("GET", "/v1/sessions/{id}/transcript", "own", {"Origin": "https://evil.example"})),
    Row(HTTP, "its token, from a page of a configured origin", "404, readable",
        _http("GET", "/v1/sessions/{id}/transcript", "own", {"Origin": "https://app.example"})),
    Row(HTTP, "a body that is too large", "413 payload_too_large",
        _http("POST", "/v1/sessions", KEY, body=b"x" * 100_000)),
    Row(HTTP, "another method", "405 bad_message", _http("PUT", "/v1/sessions", KEY)),
    Row(HTTP, "a path that climbs", "404 bad_message", _http("GET", "/..%2fconfig.py")),
    Row(INSIDE, "nothing, for `/metrics`", "401 unauthenticated", _http("GET", "/metrics")),
    Row(INSIDE, "a wrong token, for `/metrics`", "401 unauthenticated", _http("GET", "/metrics", "wrong")),
    Row(INSIDE, "a session's token, for `/metrics`", "401 unauthenticated", _http("GET", "/metrics", "own")),
    Row(INSIDE, "the metrics token, for `/metrics`", "200", _http("GET", "/metrics", METRICS_TOKEN)),
    Row(INSIDE, "nothing, for `/v1/workers`", "401 unauthenticated", _http("GET", "/v1/workers")),
    Row(INSIDE, "the metrics token, for `/v1/workers`", "401 unauthenticated",
        _http("GET", "/v1/workers", METRICS_TOKEN)),
    Row(INSIDE, "a key without the door `admin`, for `/v1/workers`", "403 permission_denied",
        _http("GET", "/v1/workers", KEY)),
    Row(INSIDE, "a key without the door `admin`, to drain a worker", "403 permission_denied",
        _http("POST", "/v1/workers/127.0.0.1:1/drain", KEY)),
    Row(INSIDE, "nothing, for `/asyncapi.json`", "401 unauthenticated", _http("GET", "/asyncapi.json")),
    Row(INSIDE, "nothing, for `/schema/client.json`", "401 unauthenticated", _http("GET", "/schema/client.json")),
    Row(INSIDE, "nothing, for `/healthz`", "200", _http("GET", "/healthz")),
    Row(DEEPGRAM, "an API key", "101", _dialect(_RAW, Authorization=f"Token {KEY}")),
    Row(DEEPGRAM, "nothing", "401 INVALID_AUTH", _dialect(_RAW)),
    Row(DEEPGRAM, "a wrong key in the header", "401 INVALID_AUTH", _dialect(_RAW, Authorization="Token wrong")),
    Row(DEEPGRAM, "a wrong key as a subprotocol", "401 INVALID_AUTH",
        _dialect(_RAW, Sec_WebSocket_Protocol="token, wrong")),
    Row(DEEPGRAM, "an API key in the URL", "401 INVALID_AUTH", _dialect(f"{_RAW}&token={KEY}")),
    Row(DEEPGRAM, "a page of another origin", "403 INSUFFICIENT_PERMISSIONS",
        _dialect(_RAW, Authorization=f"Token {KEY}", Origin="https://evil.example")),
    Row(OPENAI, "an API key", "200", _http("GET", "/v1/models", KEY)),
    Row(OPENAI, "nothing", "401 invalid_api_key", _http("GET", "/v1/models")),
    Row(OPENAI, "a wrong key, with a recording", "401 invalid_api_key",
        _http("POST", "/v1/audio/transcriptions", "wrong", body=b"x" * 100_000)),
    Row(OPENAI, "an API key, for a Realtime session", "101", _dialect(_REALTIME, Authorization=f"Bearer {KEY}")),
    Row(OPENAI, "a wrong key as a subprotocol", "401",
        _dialect(_REALTIME, Sec_WebSocket_Protocol="realtime, openai-insecure-api-key.wrong")),
    Row(OPENAI, "an API key in the URL", "401", _dialect(f"{_REALTIME}&token={KEY}")),
    Row(OPENAI, "a session token, for a client secret", "403 permission_denied",
        _http("POST", "/v1/realtime/client_secrets", "own")),
    Row(CALLS, "a wrong token in Twilio's `start`", "close 1008", _dialect("/v1/twilio", _CALL)),
    Row(CALLS, "an API key in Twilio's path", "401", _dialect(f"/v1/twilio/{KEY}")),
    Row(CALLS, "an API key in the query", "401", _dialect(f"/v1/telephony?format=audio/pcmu&token={KEY}")),
    Row(START, "beyond loopback without a key", "no start: `api_keys`", _start(**PUBLIC, api_keys="")),
    Row(START, "plaintext beyond loopback", "no start: `http_host`", _start(**PUBLIC, api_keys="k" * 32)),
    Row(START, "plaintext beyond loopback for no proxy", "no start: `trusted_proxies`",
        _start(**PUBLIC, api_keys="k" * 32, allow_plaintext="true")),
    Row(START, "Wyoming without a key to act with", "no start: `wyoming_key`", _start(wyoming_port="1")),
    Row(START, "Wyoming beyond loopback for nobody", "no start: `wyoming_clients`",
        _start(wyoming_port="1", wyoming_host="0.0.0.0", wyoming_key=KEY)),
)  # fmt: skip
