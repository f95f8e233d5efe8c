"""The complete gateway: WebSocket ports, HTTP port, upstream and store, started and drained in order."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import structlog
from aiohttp import web
from talkup.v1 import task_pb2
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from gateway.auth import Authenticator, AuthError
from gateway.config import GatewayConfig
from gateway.connection import Connection, remote_host
from gateway.credentials import SUBPROTOCOL, Credential, of_handshake
from gateway.http import HEALTHZ, READYZ, Api
from gateway.listening import BACKLOG, listening
from gateway.metrics import Metrics
from gateway.origins import Origins
from gateway.protocol.errors import CloseCode
from gateway.protocol.limits import Limits
from gateway.refusals import CredentialFailures
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory
from gateway.sessions.retention import RetentionSweeper
from gateway.status import StatusSource
from gateway.store.base import Store
from gateway.store.factory import open_store
from gateway.tls import ServerTls
from gateway.token_secret import TokenSecret, token_secret
from gateway.upstream.config import BufferBounds, Deadlines, Probing, RetryPolicy, TlsSettings, UpstreamConfig
from gateway.upstream.pool import Upstream

log = structlog.get_logger()

WS_PATH: Final = "/ws"
_HEALTH_PATHS: Final = frozenset({HEALTHZ, READYZ})
# Frames read ahead of the protocol core, per socket: with more than the first number the socket is not read.
_READ_AHEAD: Final = (16, 4)
_CERTIFICATE_CHECK_S: Final = 10.0
# Messages up to this multiple of the limit are read and refused with an error; larger ones only close the socket.
_REFUSED_MESSAGES: Final = 2
# What remains of the ten seconds of a shutdown after the streams' share.
_CLOSE_SOCKETS_S: Final = 1.5
_UPSTREAM_GRACE_S: Final = 0.2
# Stands for the request of a handshake once it has been read.
_READ: Final = Request("", Headers())
# What a client is asked to wait for while the gateway restarts.
_RESTART_S: Final = 5


def upstream_config(config: GatewayConfig) -> UpstreamConfig:
    """The settings of the upstream side."""
    return UpstreamConfig(
        endpoints={
            task_pb2.SERVICE_TYPE_STT: config.stt_workers,
            task_pb2.SERVICE_TYPE_VISION: config.vision_workers,
        },
        tls=TlsSettings(config.worker_ca, config.worker_cert, config.worker_key, config.worker_plaintext),
        worker_token=config.worker_token or None,
        use_proxy=config.worker_proxy,
        deadlines=Deadlines(
            connect=config.worker_connect_s,
            admit=config.worker_admit_s,
            recover=config.worker_recover_s,
            stall=config.worker_stall_s,
            hung=config.worker_hung_s,
            finish=config.worker_finish_s,
            stream=config.worker_stream_s,
        ),
        retry=RetryPolicy(
            attempts=config.worker_attempts, strikes=config.worker_strikes, eject_last=config.worker_eject_s
        ),
        buffer=BufferBounds(
            replay_bytes=config.replay_bytes,
            replay_seconds=config.replay_s,
            high_ms=config.worker_behind_ms,
            low_ms=config.worker_behind_ms // 4,
        ),
        probing=Probing(resolve=config.worker_resolve_s),
    )


def protocol_limits(config: GatewayConfig) -> Limits:
    """The settings of the protocol core."""
    defaults = Limits()
    return Limits(
        max_message_bytes=config.max_message_bytes,
        max_chunk_bytes=min(defaults.max_chunk_bytes, config.max_message_bytes),
        max_stream_media_ms=int(config.worker_stream_s * 1000),
        auth_timeout=config.auth_timeout_s,
    )


class Gateway:
    """A running gateway, created by `running`. Its ports are the bound ones, even if the settings are 0."""

    def __init__(
        self, config: GatewayConfig, store: Store, secret: TokenSecret, clock: Callable[[], float] = time.time
    ) -> None:
        self._config = config
        self._secret_origin = secret.origin
        metrics = Metrics()
        self._upstream = Upstream(upstream_config(config), metrics=metrics)
        self._store = store
        self._failures = CredentialFailures(metrics, time.monotonic)
        self._origins = Origins(config.allowed_origins, time.monotonic)
        self._context = GatewayContext(
            config=config,
            limits=protocol_limits(config),
            upstream=self._upstream,
            store=store,
            metrics=metrics,
            authenticator=Authenticator(config.api_keys, secret.value, config.token_ttl_s, clock),
            status=StatusSource(self._upstream, clock()),
            clock=clock,
        )
        self._directory = SessionDirectory(self._context)
        metrics.watch_outboxes(self._directory.waiting_messages)
        metrics.watch_tasks(lambda: len(asyncio.all_tasks()))
        self._sockets = 0
        self._no_sockets = asyncio.Event()
        self._no_sockets.set()
        self.http_port = 0
        self.ws_port = 0
        self.wss_port = 0

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; `stack` closes it in reverse order. Raises OSError, StoreError, ssl.SSLError."""
        await self._store.start()
        stack.push_async_callback(self._store.close)
        await self._upstream.start()
        stack.push_async_callback(self._upstream.close, _UPSTREAM_GRACE_S)
        self.http_port = await self._start_http(stack)
        if self._config.ws_enabled:
            self.ws_port = await self._start_ws(stack, self._config.ws_host, self._config.ws_port, None)
        if self._config.tls_cert is not None:
            tls = ServerTls(self._config.tls_cert, self._config.tls_key)
            self.wss_port = await self._start_ws(stack, self._config.wss_host, self._config.wss_port, tls.context)
            stack.push_async_callback(_cancel, asyncio.create_task(_renew_certificate(tls)))
        sweeper = asyncio.create_task(RetentionSweeper(self._context, self._directory).run())
        stack.push_async_callback(_cancel, sweeper)
        log.info(
            "gateway listening",
            http_port=self.http_port,
            ws_port=self.ws_port,
            wss_port=self.wss_port,
            tokens_signed_by=self._secret_origin,
        )

    async def drain(self) -> None:
        """Refuse new work, let streams finish within the drain time, then close every socket with 1012."""
        log.info("gateway draining", sessions=len(self._directory))
        self._context.status.draining = True
        await self._directory.drain(self._config.drain_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SOCKETS_S):
                await self._no_sockets.wait()

    def ws_url(self, host: str) -> str:
        """The WebSocket URL for a client that reached this gateway as `host`; wss:// if TLS is configured."""
        if self._config.public_url:
            return self._config.public_url
        scheme, port = ("wss", self.wss_port) if self.wss_port else ("ws", self.ws_port)
        name = f"[{host}]" if ":" in host else host
        return f"{scheme}://{name}:{port}{WS_PATH}"

    async def _start_http(self, stack: AsyncExitStack) -> int:
        api = Api(
            self._context,
            self._directory,
            self._failures,
            self._origins,
            ready=self._upstream.ready,
            ws_url=self.ws_url,
        )
        runner = web.AppRunner(api.application(), access_log=None, shutdown_timeout=0.5, handle_signals=False)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        where = listening(self._config.http_host, self._config.http_port)
        site = (
            web.SockSite(runner, where["sock"], backlog=BACKLOG)
            if "sock" in where
            else web.TCPSite(runner, where["host"], where["port"], backlog=BACKLOG)
        )
        await site.start()
        port: int = runner.addresses[0][1]
        return port

    async def _start_ws(self, stack: AsyncExitStack, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        config = self._config
        server = await serve(
            self._serve_socket,
            **listening(host, port),
            ssl=tls,
            process_request=self._admit,
            select_subprotocol=_choose_subprotocol,
            # Encoded audio does not compress further; a compression context per connection would cost memory.
            compression=None,
            max_size=_REFUSED_MESSAGES * config.max_message_bytes,
            max_queue=_READ_AHEAD,
            ping_interval=None,
            close_timeout=config.close_timeout_s,
            server_header=None,
            backlog=BACKLOG,
        )
        stack.push_async_callback(_close_server, server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    def _admit(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse requests that cannot become connections; credentials are checked later (see gateway.connection)."""
        path = urlsplit(request.path).path
        if path in _HEALTH_PATHS:
            return self._health(path, request.method)
        if path != WS_PATH:
            return _plain(HTTPStatus.NOT_FOUND, "WebSockets are served at /ws")
        if not all(self._origins.allows(origin) for origin in request.headers.get_all("Origin")):
            return _plain(HTTPStatus.FORBIDDEN, "pages of this origin may not connect; see allowed_origins")
        if self._directory.draining:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is restarting", _RESTART_S)
        # A credential that comes as a message is heard in any case: `max_unauthenticated` bounds who waits for it.
        retry_after_s = self._failures.retry_after_s(remote_host(socket))
        if retry_after_s is not None and self._has_invalid_credential(request):
            self._failures.record("handshake", remote_host(socket))
            return _plain(HTTPStatus.TOO_MANY_REQUESTS, "too many invalid credentials", retry_after_s)
        return None

    def _health(self, path: str, method: str) -> Response:
        """Health, for load balancers that probe the port which they send connections to."""
        serving = path == HEALTHZ or (self._upstream.ready() and not self._directory.draining)
        status = HTTPStatus.OK if serving else HTTPStatus.SERVICE_UNAVAILABLE
        response = _plain(status, "ok" if serving else "not ready")
        if method == "HEAD":
            response.body = b""
        return response

    def _has_invalid_credential(self, request: Request) -> bool:
        """Whether a handshake carries a credential that is not valid."""
        credential = _credential(request)
        if credential.text is None:
            return False
        try:
            self._context.authenticator.check(credential.text, keys_allowed=credential.may_be_key)
        except AuthError:
            return True
        return False

    async def _serve_socket(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self._sockets += 1
        self._no_sockets.clear()
        try:
            connection = Connection(socket, self._context, self._directory, self._failures)
            credential = _credential(socket.request)
            socket.request, socket.response = _READ, None  # 2 KB that nobody reads any more
            await connection.run(credential)
        except Exception:
            # The outermost edge of a connection: an unexpected error closes this socket and no other.
            log.exception("connection failed")
            await socket.close(CloseCode.INTERNAL, "internal error")
        finally:
            self._sockets -= 1
            if not self._sockets:
                self._no_sockets.set()


@asynccontextmanager
async def running(config: GatewayConfig) -> AsyncIterator[Gateway]:
    """Run a gateway inside the block; it is drained and closed at the end.

    Raises OSError if a port or the secret cannot be opened, StoreError if the store cannot, ssl.SSLError for a bad
    certificate.
    """
    gateway = Gateway(config, open_store(config), token_secret(config))
    async with AsyncExitStack() as stack:
        await gateway.start(stack)
        try:
            yield gateway
        finally:
            await gateway.drain()


def _credential(request: Request) -> Credential:
    offered = [
        name.strip() for header in request.headers.get_all("Sec-WebSocket-Protocol") for name in header.split(",")
    ]
    authorization = request.headers.get_all("Authorization")
    return of_handshake(request.path, authorization[0] if authorization else None, offered)


def _choose_subprotocol(_socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Never choose the subprotocol that carries a credential: proxies log responses."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


def _plain(status: HTTPStatus, text: str, retry_after_s: int | None = None) -> Response:
    body = f"{text}\n".encode()
    headers = Headers(
        {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(body)), "Connection": "close"}
    )
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return Response(status, status.phrase, headers, body)


async def _close_server(server: Server) -> None:
    server.close(code=CloseCode.RESTART, reason="the gateway is restarting")
    with suppress(TimeoutError):
        async with asyncio.timeout(_CLOSE_SOCKETS_S):
            await server.wait_closed()


async def _renew_certificate(tls: ServerTls) -> None:
    while True:
        await asyncio.sleep(_CERTIFICATE_CHECK_S)
        tls.renew()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
