"""The complete gateway: WebSocket ports, HTTP port, upstream and store, started and drained in order."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final, cast

import structlog
from aiohttp import web
from websockets.asyncio.server import Server, ServerConnection, serve

from gateway.access.key_ring import KeyRing
from gateway.access.shares import Shares
from gateway.access.tokens import Tokens
from gateway.admission import Admission
from gateway.auth import Authenticator
from gateway.client_socket import ClientSocket, SocketBounds
from gateway.config import GatewayConfig
from gateway.connection import Connection
from gateway.doors.wyoming.listener import WyomingListener
from gateway.early_refusals import EarlyRefusals
from gateway.handshakes import WS_PATH, HandshakePolicy, answer, answer_tls, choose_subprotocol, credential_of
from gateway.http import Api
from gateway.inbound import Inbound
from gateway.listening import BACKLOG, Doors, OwnPorts, defer_accept
from gateway.metrics import Metrics
from gateway.opening import OpeningHandshake, Openings
from gateway.origins import Origins
from gateway.parts import identity_provider, protocol_limits, upstream_config
from gateway.places import descriptors, places
from gateway.protocol.errors import CloseCode
from gateway.refusals import CredentialFailures
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import SessionDirectory
from gateway.sessions.retention import RetentionSweeper
from gateway.status import StatusSource
from gateway.store.base import Store
from gateway.store.factory import open_store
from gateway.store.observed import ObservedStore
from gateway.tls import ServerTls
from gateway.token_secret import TokenSecret, secret_path, token_secret
from gateway.upstream.pool import Upstream
from settings.network import LOOPBACK, Networks
from settings.version import VERSION
from tracing.setup import open_tracer

log = structlog.get_logger()

_CERTIFICATE_CHECK_S: Final = 2.0
_SECRET_CHECK_S: Final = 2.0
# Messages up to this multiple of the limit are read and refused with an error; larger ones only close the socket.
_REFUSED_MESSAGES: Final = 2
_SLOW_CHECK_S: Final = 1.0
# Time for the answer to an HTTP request to be read, and for the rest of a request that was answered early.
_ANSWER_S: Final = 60.0
_LINGER_S: Final = 2.0
_MAX_HEADERS: Final = 64
# Descriptors for everything but clients: store, workers, files.
_SPARE_DESCRIPTORS: Final = 256
# What remains of the ten seconds of a shutdown after the streams' share.
_CLOSE_SOCKETS_S: Final = 1.5
_UPSTREAM_GRACE_S: Final = 0.2


class Gateway:
    """A running gateway, created by `running`. Its ports are the bound ones, even if the settings are 0."""

    def __init__(
        self,
        config: GatewayConfig,
        store: Store,
        secret: TokenSecret,
        doors: Doors,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._doors = doors
        self._secret_origin = secret.origin
        self._secrets = secret.all
        is_kept_in_a_file = config.store.startswith("sqlite") and not config.token_secret
        self._secret_file = secret_path(config) if is_kept_in_a_file else None
        self.metrics = metrics = Metrics(doors.gather)
        self._upstream = Upstream(upstream_config(config), metrics=metrics)
        self._store = store = ObservedStore(store, metrics.store)
        self._failures = CredentialFailures(metrics, time.monotonic, config.trusted_proxies, config.processes)
        self._keys = KeyRing(config.api_keys, config.api_keys_file, clock)
        # Without a durable store, deletions are forgotten at the end of the process: tokens must be, too.
        self._tokens = Tokens(secret.all, config.token_ttl_s, clock, None if store.durable else clock())
        self._provider = identity_provider(config, clock)
        self._origins = Origins(config.allowed_origins, time.monotonic, is_closed=config.is_exposed)
        spare = _SPARE_DESCRIPTORS + (config.max_wyoming_connections if config.wyoming_port else 0)
        http, ws = places(config, descriptors() - spare)
        proxies = Networks(config.trusted_proxies).holds
        self._plain_peers = Networks((*LOOPBACK, *config.trusted_proxies))
        self._http_admission = Admission("http", http, metrics, time.monotonic, proxies)
        self._ws_admission = Admission("websocket", ws, metrics, time.monotonic, proxies)
        self._inbound = Inbound(config.max_inbound_bytes)
        self._context = GatewayContext(
            config=config,
            limits=protocol_limits(config),
            upstream=self._upstream,
            store=store,
            metrics=metrics,
            authenticator=(authenticator := Authenticator(self._keys, self._tokens, clock, self._provider)),
            status=StatusSource(self._upstream, clock()),
            clock=clock,
            shares=Shares(lambda: authenticator.owners, monotonic, config.idle_stream_s, clock),
            monotonic=monotonic,
            tracer=open_tracer("talkup-gateway", VERSION, config.otlp_endpoint),
        )
        self._directory = directory = SessionDirectory(self._context)
        self._policy = HandshakePolicy(self._context, self._failures, self._origins, lambda: directory.draining)
        metrics.watch_outboxes(self._directory.waiting_messages)
        metrics.watch_tasks(lambda: len(asyncio.all_tasks()))
        metrics.watch_upstream(self._upstream)
        metrics.store.watch_backlog(lambda: store.pending_writes)
        self._sockets = 0
        self._no_sockets = asyncio.Event()
        self._no_sockets.set()
        self.http_port = 0
        self.ws_port = 0
        self.wss_port = 0
        self.wyoming_port = 0

    async def start(self, stack: AsyncExitStack) -> None:
        """Start everything; `stack` closes it in reverse order. Raises OSError, StoreError, ssl.SSLError."""
        self._keys.load()
        stack.push_async_callback(_cancel, asyncio.create_task(self._keys.watch()))
        stack.push_async_callback(_cancel, asyncio.create_task(self._renew_secrets()))
        if self._provider is not None:
            stack.push_async_callback(self._provider.close)
            stack.push_async_callback(_cancel, asyncio.create_task(self._provider.watch()))
        stack.push_async_callback(self._context.tracer.close)
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
        if self._config.wyoming_port:
            wyoming = WyomingListener(self._context, self._directory)
            stack.push_async_callback(wyoming.close)
            self.wyoming_port = await wyoming.open(self._doors)
        sweeper = asyncio.create_task(RetentionSweeper(self._context, self._directory).run())
        stack.push_async_callback(_cancel, sweeper)
        stack.push_async_callback(_cancel, asyncio.create_task(self._context.metrics.process.watch_loop()))
        log.info(
            "gateway listening",
            http_port=self.http_port,
            ws_port=self.ws_port,
            wss_port=self.wss_port,
            wyoming_port=self.wyoming_port,
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
        config = self._config
        api = Api(
            self._context,
            self._directory,
            self._failures,
            self._origins,
            self._http_admission,
            ready=self._upstream.ready,
            ws_url=self.ws_url,
        )
        runner = web.AppRunner(
            api.application(),
            access_log=None,
            shutdown_timeout=0.5,
            handle_signals=False,
            keepalive_timeout=config.http_idle_s,
            lingering_time=_LINGER_S,
            max_headers=_MAX_HEADERS,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        address = (config.http_host, config.http_port)
        for listener in await self._doors.open("http", address, self._http_admission, self._allows_plain):
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        stack.push_async_callback(_cancel, asyncio.create_task(self._end_slow_requests()))
        port: int = runner.addresses[0][1]
        return port

    async def _end_slow_requests(self) -> None:
        """Close HTTP connections whose request or answer takes too long to travel."""
        while True:
            await asyncio.sleep(_SLOW_CHECK_S)
            self._http_admission.end_slow(self._config.http_request_s, self._config.http_idle_s + _ANSWER_S)

    def _allows_plain(self, address: str) -> bool:
        """Whether a peer may connect without TLS: from this machine, or as a proxy that is trusted to have done TLS."""
        return self._plain_peers.holds(address)

    async def _start_ws(self, stack: AsyncExitStack, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        config = self._config
        bounds = SocketBounds(
            message_bytes=_REFUSED_MESSAGES * config.max_message_bytes,
            unsent_bytes=config.outbox_bytes,
            inbound=self._inbound,
            admission=self._ws_admission,
            metrics=self._context.metrics,
        )
        openings = Openings(self._policy, self._failures.late_answers, bounds, config.handshake_s)
        stack.callback(openings.close)
        early = EarlyRefusals(
            lambda: self._context.shares.is_flooded, self._policy.rate_refusal, self._failures.late_answers
        )
        stack.callback(early.close)
        ports: list[int] = []
        name, allows = ("ws", self._allows_plain) if tls is None else ("wss", _anyone)
        for listener in await self._doors.open(name, (host, port), self._ws_admission, allows):
            defer_accept(listener)
            if tls is None:
                listener.takes = early.takes
            server = await serve(
                self._serve_socket,
                sock=listener,
                ssl=tls,
                create_connection=cast(type[ServerConnection], partial(OpeningHandshake, openings=openings)),
                process_response=answer_tls if tls is not None else answer,
                select_subprotocol=choose_subprotocol,
                # Encoded audio does not compress further; a compression context per connection would cost memory.
                compression=None,
                # Until the client has authenticated; see ClientSocket, which also stops reading ahead.
                max_size=_REFUSED_MESSAGES * config.max_unauthenticated_bytes,
                max_queue=None,
                open_timeout=config.handshake_s,
                ping_interval=None,
                close_timeout=config.close_timeout_s,
                server_header=None,
                backlog=BACKLOG,
            )
            stack.push_async_callback(_close_server, server)
            ports.append(server.sockets[0].getsockname()[1])
        return ports[0]

    async def _renew_secrets(self) -> None:
        """Whenever the file of secrets next to the store changes, sign with its newest one."""
        while self._secret_file is not None:
            await asyncio.sleep(_SECRET_CHECK_S)
            try:
                renewed = token_secret(self._config)
            except OSError as error:
                log.error("token secrets not read; the earlier ones stay valid", reason=str(error))
            else:
                if renewed.all != self._secrets:
                    self._secrets = renewed.all
                    self._tokens.use(renewed.all)
                    log.info("token secrets read", secrets=len(renewed.all))

    async def _serve_socket(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        assert isinstance(socket, ClientSocket)
        self._sockets += 1
        self._no_sockets.clear()
        try:
            connection = Connection(socket, self._context, self._directory, self._failures)
            credential = credential_of(socket.request)
            socket.forget_handshake()
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
async def running(
    config: GatewayConfig,
    doors: Doors | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Gateway]:
    """Run a gateway inside the block; it is drained and closed at the end. `doors` None: it has its own ports.

    Raises OSError if a port or the secret cannot be opened, StoreError if the store cannot, ssl.SSLError for a bad
    certificate.
    """
    gateway = Gateway(
        config, open_store(config), token_secret(config), doors or OwnPorts(), clock=clock, monotonic=monotonic
    )
    async with AsyncExitStack() as stack:
        await gateway.start(stack)
        try:
            yield gateway
        finally:
            await gateway.drain()


def _anyone(_address: str) -> bool:
    return True


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
