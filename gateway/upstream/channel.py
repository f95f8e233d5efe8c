"""Channels to workers and the calls made on them. Only this file of the package imports gRPC.

Only retry.py retries. gRPC's own retries are off; they would stop at the first response anyway (gRFC A6). Keepalive
pings detect a silent peer, and `grpc.http2.ping_timeout_ms` bounds the wait for their answer (without it, a stopped
worker is noticed after 62 s, measured).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any, cast

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from talkup.v1 import error_pb2, link_pb2, task_pb2, worker_service_pb2, worker_service_pb2_grpc

from gateway.upstream.call import Take, WorkerCall
from gateway.upstream.causes import cause_of
from gateway.upstream.config import Links, TlsSettings
from gateway.upstream.failures import CallFailed, CallOver
from gateway.upstream.link import LinkCall, WorkerLink
from gateway.upstream.link_calls import parse_batch
from gateway.upstream.link_offer import LinkOffers
from gateway.upstream.results import parse_description, parse_result
from settings.network import host_of, is_loopback
from tracing.spans import TRACEPARENT

log = structlog.get_logger()

HEALTH_SERVICE = "talkup.v1.WorkerService"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024

CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 2000),
    ("grpc.http2.ping_timeout_ms", 2000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A worker that returns is found within a second, not after gRPC's default of two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Two channels to the same address share no connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.lb_policy_name", "round_robin"),
)

# Trailing metadata of a refused call: the complete `talkup.v1.Error`, serialised.
_ERROR_METADATA_KEY = "talkup-error-bin"
# Status details that show a broken connection; the status alone could also mean a bug in the worker.
_BROKEN_CONNECTION_DETAILS = ("RST_STREAM", "Internal error from Core", "Stream removed", "Connection reset", "GOAWAY")


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """Where a worker listens. `authority`: the name it was resolved from, which its certificate must contain."""

    target: str
    authority: str | None = None


class PlaintextError(ValueError):
    """A plaintext channel to another machine, which the settings do not allow."""


def translate(error: grpc.aio.AioRpcError) -> CallFailed:
    """Convert gRPC's error to CallFailed. Its details are left out, because they may contain anything.

    A call that ends while a request is being written shows INTERNAL "Internal error from Core", whatever status the
    worker sent: the library's `write` overwrites it (grpcio 1.85). It therefore counts as a broken connection.
    """
    details = error.details() or ""
    broken = any(mark in details for mark in _BROKEN_CONNECTION_DETAILS)
    status = error.code().name
    cause = cause_of(status, details)
    return CallFailed(status, transport_reset=broken, error=_error_in_metadata(error), cause=cause)


def _error_in_metadata(error: grpc.aio.AioRpcError) -> error_pb2.Error | None:
    metadata = cast(Iterable[tuple[str, str | bytes]], error.trailing_metadata() or ())
    for key, value in metadata:
        if key == _ERROR_METADATA_KEY and isinstance(value, bytes):
            try:
                return error_pb2.Error.FromString(value)
            except DecodeError:
                return None
    return None


class TaskCall:
    """One StreamTask RPC. One task writes to it and another one reads from it."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call

    async def write(self, request: bytes) -> None:
        """Send one serialised request; waits for HTTP/2 flow control. Raises CallOver when the call has ended."""
        try:
            await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise CallOver from error

    @property
    def is_writable(self) -> bool:
        """Never: gRPC's write has to be waited for."""
        return False

    def write_now(self, request: bytes) -> None:
        """Raises CallOver: such a call is never writable at once."""
        raise CallOver

    async def done_writing(self) -> None:
        """Half-close the call: no further request follows."""
        try:
            await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise CallOver from error

    async def read(self) -> task_pb2.TaskResult | None:
        """The next result; None if the worker closed the call normally. Raises CallFailed.

        Cancelling this method cancels the entire call, so put a time limit around it only if that is what you want.
        """
        try:
            result = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        if not isinstance(result, bytes):
            return None
        try:
            return parse_result(result)
        except CallFailed:
            self._call.cancel()
            raise

    def pass_to(self, take: Take | None) -> None:
        """Nothing: gRPC wakes the reader in any case."""

    def cancel(self, *, unanswered: bool = False) -> None:
        """Drop the call, in whatever state."""
        self._call.cancel()


class BatchCall:
    """One StreamTasks RPC, which carries a link."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call

    async def write(self, batch: bytes) -> None:
        """Send a serialised batch; waits for HTTP/2 flow control. Raises CallOver when the RPC has ended."""
        try:
            await self._call.write(batch)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise CallOver from error

    async def read(self) -> link_pb2.TaskResultBatch | None:
        """The next batch; None if the worker ended the RPC normally. Raises CallFailed and LinkBreachError."""
        try:
            batch = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        return parse_batch(batch) if isinstance(batch, bytes) else None

    def cancel(self) -> None:
        """Drop the RPC, in whatever state."""
        self._call.cancel()


class WorkerChannel:
    """A channel to one endpoint and the calls made on it. Create it inside a running event loop.

    Raises PlaintextError for a target beyond loopback without TLS, OSError for certificates that cannot be read.
    """

    def __init__(
        self,
        address: EndpointAddress,
        tls: TlsSettings,
        token: str | None,
        *,
        use_proxy: bool = False,
        links: Links = Links.NEVER,
    ) -> None:
        self._channel = _connect(address, tls, use_proxy=use_proxy)
        self._metadata = (("authorization", f"Bearer {token}"),) if token else None
        self._worker = worker_service_pb2_grpc.WorkerServiceStub(self._channel)  # type: ignore[no-untyped-call]  # generated
        # Requests come serialised from the replay buffer, batches from their link.
        # Answers come unparsed: gRPC would take one that cannot be parsed for the end of the RPC.
        self._describe = self._channel.unary_unary(
            f"/{HEALTH_SERVICE}/Describe",
            request_serializer=worker_service_pb2.DescribeRequest.SerializeToString,
            response_deserializer=None,
        )
        self._open_task = self._channel.stream_stream(
            f"/{HEALTH_SERVICE}/StreamTask", request_serializer=None, response_deserializer=None
        )
        self._open_batches = self._channel.stream_stream(
            f"/{HEALTH_SERVICE}/StreamTasks", request_serializer=None, response_deserializer=None
        )
        self._health = health_pb2_grpc.HealthStub(self._channel)
        self._target = address.target
        self._offers = LinkOffers(links)
        self._links: list[WorkerLink] = []

    @property
    def links(self) -> int:
        """How many links are open."""
        return sum(link.end is None for link in self._links)

    def open_task(self, deadline: float, traceparent: str | None = None) -> WorkerCall:
        """Open a call that ends after `deadline` seconds: in the link, if there may be one, else an RPC of its own.

        It fails fast if nobody is listening.
        """
        link = self._usable_link()
        if link is not None:
            return LinkCall(link, deadline, traceparent)
        metadata = self._metadata if traceparent is None else (*(self._metadata or ()), (TRACEPARENT, traceparent))
        return TaskCall(self._open_task(None, timeout=deadline, metadata=metadata))

    async def describe(self, deadline: float) -> worker_service_pb2.DescribeResponse:
        """Ask the worker what it is and how many slots are free. Raises CallFailed."""
        request = worker_service_pb2.DescribeRequest()
        try:
            response = await self._describe(request, timeout=deadline, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        description = parse_description(cast(bytes, response))
        self._offers.described(description)
        self._forget_links()
        return description

    async def set_draining(self, draining: bool, deadline: float) -> int:
        """Take the worker out of rotation, or back; returns how many streams run there. Raises CallFailed."""
        request = worker_service_pb2.SetDrainingRequest(draining=draining)
        try:
            response = await self._worker.SetDraining(request, timeout=deadline, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        return int(response.streams)

    async def watch_health(self) -> AsyncIterator[bool]:
        """Yield whether the worker is serving, at each change (grpc.health.v1 Watch). Raises CallFailed."""
        request = health_pb2.HealthCheckRequest(service=HEALTH_SERVICE)
        call = self._health.Watch(request, metadata=self._metadata)
        try:
            async for response in call:
                yield response.status == health_pb2.HealthCheckResponse.SERVING
        except grpc.aio.AioRpcError as error:
            raise translate(error) from error
        finally:
            call.cancel()

    async def close(self) -> None:
        """Close the channel and every call still on it."""
        for link in self._links:
            await link.close()
        await self._channel.close(None)

    def _usable_link(self) -> WorkerLink | None:
        """The link to the worker that answers now, new if there is none; None: each stream needs an RPC of its own."""
        self._forget_links()
        offer = self._offers.usable
        if offer is None:
            return None
        for link in self._links:
            if link.offer.worker_id == offer.worker_id:
                return link if link.room else None
        link = WorkerLink(BatchCall(self._open_batches(None, metadata=self._metadata)), offer, self._target)
        self._links.append(link)
        return link

    def _forget_links(self) -> None:
        """Forget links that have ended; end empty ones that were opened on the offer of another process."""
        for link in self._links:
            if not len(link.calls) and self._offers.is_outdated(link.offer):
                link.drop()
        self._links = [link for link in self._links if not self._has_ended(link)]

    def _has_ended(self, link: WorkerLink) -> bool:
        if link.end is None:
            return False
        if self._offers.ended(link.offer.worker_id, link.end):
            log.warning("a worker gets no more links: each stream has its own RPC", target=self._target)
        return True


def certificates_version(tls: TlsSettings) -> tuple[tuple[int, int], ...]:
    """A value that changes with the certificate files: modification times (ns) and sizes. Raises OSError."""
    files = (tls.root_ca, tls.client_cert, tls.client_key)
    stats = [file.stat() for file in files if file is not None]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


def check_plaintext(target: str, tls: TlsSettings) -> None:
    """Raise PlaintextError if the settings allow no call to a target (host:port) without TLS."""
    if tls.root_ca is None and not tls.insecure and not is_loopback(host_of(target)):
        raise PlaintextError(f"plaintext gRPC to {target} is not allowed: set worker_ca, or worker_plaintext")


def _connect(address: EndpointAddress, tls: TlsSettings, *, use_proxy: bool) -> grpc.aio.Channel:
    on_loopback = is_loopback(host_of(address.target))
    # gRPC sends even calls to 127.0.0.1 to the proxy that https_proxy or http_proxy names, unless this option is 0.
    proxied = use_proxy and not on_loopback
    options: list[tuple[str, Any]] = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(proxied))]
    if tls.root_ca is None:
        check_plaintext(address.target, tls)
        return grpc.aio.insecure_channel(address.target, options=options)
    if address.authority is not None:
        options.append(("grpc.ssl_target_name_override", address.authority))
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.root_ca.read_bytes(),
        private_key=tls.client_key.read_bytes() if tls.client_key else None,
        certificate_chain=tls.client_cert.read_bytes() if tls.client_cert else None,
    )
    return grpc.aio.secure_channel(address.target, credentials, options=options)
