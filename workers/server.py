"""The gRPC server of a worker process: service, health, reflection, and an orderly shutdown.

Health is NOT_SERVING until the model is loaded and from the first moment of a drain.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from typing import Final

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from talkup.v1 import task_pb2, worker_service_pb2_grpc

from settings.version import VERSION
from tracing.setup import open_tracer
from workers.auth import AccessRules
from workers.config import WorkerConfig
from workers.engine import Engine
from workers.guard import SERVICE_NAME, GuardInterceptor, GuardLimits
from workers.metrics import MetricsPort, WorkerMetrics
from workers.servicer import ServicerLimits, WorkerServicer
from workers.slot_review import follow
from workers.tls import server_credentials

_log = structlog.get_logger()

HEALTH_NAMES: Final = ("", SERVICE_NAME)
# gRPC's own bound is two minutes.
_HANDSHAKE_MS: Final = 10_000
# Beyond 1,000 calls that this process has not looked at yet, gRPC by default refuses calls at random, honest ones too.
_MAX_UNREAD_CALLS: Final = 8_192
_STOP_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 2.0


def channel_options(max_message_bytes: int) -> Sequence[tuple[str, int]]:
    """Options of the server's connections.

    Without bdp_probe a stalled stream holds 62 KiB of its sender's bytes instead of 4 MiB (measured). Pings of clients
    are permitted at any rate, as their keepalive is how a hung worker is found; the server's own keepalive finds
    clients that vanished.
    """
    return (
        ("grpc.http2.bdp_probe", 0),
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 500),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.server.max_pending_requests", _MAX_UNREAD_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_UNREAD_CALLS),
    )


class WorkerServer:
    """One engine behind one port. `start`, then `load`, then `drain`, then `close`."""

    def __init__(self, config: WorkerConfig, engine: Engine, metrics: WorkerMetrics | None = None) -> None:
        self._config = config
        self._engine = engine
        self._metrics = metrics or WorkerMetrics()
        self._metrics.watch_engine(engine.totals)
        engine.observe(self._metrics)
        limits = ServicerLimits(
            slots=config.slots,
            write_seconds=config.write_seconds,
            stream_seconds=config.stream_seconds,
            linked_calls=config.max_calls,
            message_bytes=config.max_message_bytes,
        )
        name = task_pb2.ServiceType.Name(engine.service_type).removeprefix("SERVICE_TYPE_").lower()
        self._tracer = open_tracer(f"talkup-{name}-worker", VERSION, config.otlp_endpoint)
        self._servicer = WorkerServicer(
            engine, limits, self._metrics, self._tracer, serving_changed=self._report_serving
        )
        self._reviewing: asyncio.Task[None] | None = None
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # set at import
        rules = AccessRules(config.tokens, config.allowed_clients)
        bounds = GuardLimits(config.start_seconds, config.max_calls, config.max_waiting_calls, config.max_watches)
        self._server = grpc.aio.server(
            interceptors=[GuardInterceptor(rules, bounds, self._metrics.refused)],
            options=channel_options(config.max_message_bytes),
            maximum_concurrent_rpcs=bounds.for_grpc,
        )
        worker_service_pb2_grpc.add_WorkerServiceServicer_to_server(self._servicer, self._server)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if config.reflection:
            names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self) -> int:
        """Start to listen, without serving yet; returns the port. Raises SettingError when the port cannot be bound."""
        await self._set_health(serving=False)
        address = f"[{self._config.host}]" if ":" in self._config.host else self._config.host
        address = f"{address}:{self._config.port}"
        try:
            if self._config.tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, server_credentials(self._config.tls))
        except RuntimeError:
            raise self._config.invalid("port", f"cannot listen on {address}") from None
        await self._server.start()
        _log.info("worker listening", host=self._config.host, port=port, tls=self._config.tls is not None)
        if self._config.admits_any_certificate:
            _log.warning("any certificate of tls_client_ca may call; allowed_clients names none")
        return port

    async def load(self) -> None:
        """Load the engine and begin to serve. From then on its slots follow its measurements, unless they are set."""
        await self._engine.load()
        slots = self._servicer.engine_loaded()
        if not self._config.slots:
            self._reviewing = asyncio.create_task(follow(self._engine, self._servicer.resize, self._metrics))
        self._metrics.loaded(self._engine.service_type, self._engine.describe().models)
        await self._set_health(serving=True)
        self._report_serving()
        _log.info("worker serving", slots=slots, models=[model.name for model in self._engine.describe().models])

    async def drain(self) -> None:
        """Refuse new streams, tell the running ones, and wait until they have ended, at most `drain_seconds`."""
        _log.info("worker draining")
        await self._set_health(serving=False)
        await self._servicer.drain(self._config.drain_seconds)

    async def close(self) -> None:
        """Stop listening, cut the calls that are left, and close the engine."""
        if self._reviewing is not None:
            self._reviewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reviewing
        await self._server.stop(_STOP_SECONDS)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                await self._engine.close()
        except TimeoutError:
            _log.error("the engine did not close in time")
        await self._servicer.wait_until_idle(_CLOSE_SECONDS)  # streams that were cut close after the server has stopped
        await self._tracer.close()
        _log.info("worker stopped")

    def _report_serving(self) -> None:
        """Health stays as it is: an orchestrator must not take a worker away that an operator took out of rotation."""
        self._metrics.serving(self._servicer.serving)

    async def _set_health(self, *, serving: bool) -> None:
        self._metrics.serving(serving)
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in HEALTH_NAMES:
            await self._health.set(name, status)


async def serve(config: WorkerConfig, engine: Engine) -> None:
    """Run a worker until SIGTERM or SIGINT, then drain.

    Raises SettingError for a port that cannot be bound, and what the engine raises when it cannot load.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = WorkerMetrics()
    server = WorkerServer(config, engine, metrics)
    port = MetricsPort(metrics, config.host, config.metrics_port) if config.metrics_port else None
    try:
        await server.start()
        if await _load_or_stop(server, stop):
            await stop.wait()
            await server.drain()
    finally:
        await server.close()
        if port is not None:
            port.close()


async def _load_or_stop(server: WorkerServer, stop: asyncio.Event) -> bool:
    """Load the engine, or give up when the worker is stopped meanwhile; returns whether it serves."""
    loading = asyncio.ensure_future(server.load())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            return False
        loading.result()
        return True
    finally:
        for waiter in (loading, stopping):
            waiter.cancel()
        await asyncio.wait({loading, stopping})
