"""The upstream side as `connection` sees it: open a stream, ask what there is, close.

The pool owns every endpoint and every stream's task. Streams ask it for a lease on an endpoint; everything that they
learn about that endpoint comes back when the lease is returned.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from talkup.v1 import task_pb2

from gateway.upstream.balancer import Refusal, choose
from gateway.upstream.channel import EndpointAddress, PlaintextError, WorkerChannel, certificates_version
from gateway.upstream.clock import MAX_STEP, AwakeClock
from gateway.upstream.config import UpstreamConfig
from gateway.upstream.failures import Busy, CallFailed, NoWorker, UpstreamFailure
from gateway.upstream.health import Endpoint, EndpointState
from gateway.upstream.observer import NoMetrics, UpstreamMetrics
from gateway.upstream.registry import Registry, Resolver, resolve_dns
from gateway.upstream.task_stream import FailoverNotice, Lease, TaskStream
from gateway.upstream.turns import Turns

__all__ = ["FailoverNotice", "ServiceSnapshot", "TaskStream", "Upstream", "UpstreamConfig", "UpstreamMetrics"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """One service at a moment: endpoints known and serving, slots, and what the serving workers offer."""

    workers_total: int
    workers_serving: int
    slots_total: int
    slots_free: int
    models: tuple[str, ...]
    languages: tuple[str, ...]
    formats: tuple[str, ...]


class Upstream:
    """All workers of all services. Everything happens on the event loop that `start` ran on."""

    def __init__(
        self,
        config: UpstreamConfig,
        *,
        metrics: UpstreamMetrics | None = None,
        clock: Callable[[], float] | None = None,
        resolver: Resolver = resolve_dns,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Raises ValueError for an endpoint that cannot be read. `rng` gives numbers in [0, 1)."""
        self._config = config
        self._metrics: UpstreamMetrics = metrics or NoMetrics()
        self._clock = clock = clock or AwakeClock()
        self._rng = rng
        self._registries = {s: Registry(targets, resolver) for s, targets in config.endpoints.items() if targets}
        self._services = {service: _Service(service, config, clock, rng) for service in self._registries}
        self._background: set[asyncio.Task[None]] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._closed = False

    async def start(self) -> None:
        """Find the endpoints and begin to watch them; waits for names to be resolved once, not for workers.

        Raises PlaintextError for endpoints that would need TLS, OSError for unreadable certificates.
        """
        self._background.add(asyncio.create_task(self._keep_awake()))
        for service, registry in self._registries.items():
            pool = self._services[service]
            await pool.update(await registry.endpoints(self._config.probing.timeout))
            if registry.dynamic or self._config.tls.root_ca is not None:
                self._background.add(asyncio.create_task(self._keep_current(registry, pool)))

    async def close(self, grace: float) -> None:
        """Let open streams finish for `grace` seconds, then cancel them, and close every channel."""
        self._closed = True
        if self._streams:
            await asyncio.wait(self._streams, timeout=grace)
        await _cancel(self._streams | self._background)
        for pool in self._services.values():
            await pool.close()

    def open(
        self, key_service: task_pb2.ServiceType, start: task_pb2.TaskRequest, *, resumed: bool = False
    ) -> TaskStream:
        """Begin a stream; never waits. `start` and all requests offered later belong to the stream.

        `resumed`: it ran before and is given the time of a running one to find a worker.
        """
        pool = self._services.get(key_service) or _Service(key_service, self._config, self._clock, self._rng)
        stream = TaskStream(start, pool, self._config, self._metrics, self._clock, resumed=resumed)
        task = asyncio.create_task(stream.run())
        stream.bind(task)
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)
        if self._closed:
            stream.cancel()
        return stream

    def busy(self, service: task_pb2.ServiceType) -> int | None:
        """In how many milliseconds to ask again where every slot of a service is taken; None: a stream may be opened.

        Told before anything of a stream is there, for that is the cheapest refusal (measured: 2.3 ms of CPU after it).
        """
        pool = self._services.get(service)
        return pool.retry_after_ms() if pool is not None and pool.full() else None

    def snapshot(self) -> Mapping[task_pb2.ServiceType, ServiceSnapshot]:
        """Every configured service as it stands."""
        return {service: pool.snapshot() for service, pool in self._services.items()}

    def ready(self) -> bool:
        """Whether every configured service has a serving worker; false when none is configured."""
        snapshots = [pool.snapshot() for pool in self._services.values()]
        return bool(snapshots) and all(s.workers_serving for s in snapshots)

    async def _keep_awake(self) -> None:
        """Read the clock often enough for it to count all the time lived."""
        while True:
            self._clock()
            await asyncio.sleep(MAX_STEP / 4)

    async def _keep_current(self, registry: Registry, pool: _Service) -> None:
        """Resolve names again and read changed certificates, for as long as the upstream is open."""
        while True:
            await asyncio.sleep(self._config.probing.resolve)
            try:
                await pool.update(await registry.endpoints(self._config.probing.timeout))
            except (OSError, PlaintextError) as error:
                log.warning("workers not updated", error=type(error).__name__)


class _Service:
    """The endpoints of one service: what task_stream calls its placement."""

    def __init__(
        self,
        service: task_pb2.ServiceType,
        config: UpstreamConfig,
        clock: Callable[[], float],
        rng: Callable[[], float],
    ) -> None:
        self.turns = Turns()
        self._service = service
        self._config = config
        self._clock = clock
        self._rng = rng
        self._endpoints: dict[str, Endpoint] = {}
        self._monitors: dict[str, asyncio.Task[None]] = {}
        self._retired: list[Endpoint] = []
        self._certificates: object = None
        self._changed = asyncio.Event()

    async def update(self, addresses: Mapping[EndpointAddress, bool]) -> None:
        """Make the endpoints these: new ones are watched, others get no new stream and go when their last one ends.

        When certificates have changed, every endpoint is made anew. Raises PlaintextError or OSError, changing nothing.
        """
        certificates = certificates_version(self._config.tls)
        renew = certificates != self._certificates
        fresh = {
            address.target: self._make(address, whole=whole)
            for address, whole in addresses.items()
            if renew or address.target not in self._endpoints
        }
        targets = {address.target for address in addresses}
        for target in [t for t in self._endpoints if t in fresh or t not in targets]:
            await self._retire(target)
        for target, endpoint in fresh.items():
            self._endpoints[target] = endpoint
            self._monitors[target] = asyncio.create_task(endpoint.run())
        self._certificates = certificates
        idle = [endpoint for endpoint in self._retired if not endpoint.streams]
        self._retired = [endpoint for endpoint in self._retired if endpoint.streams]
        for endpoint in idle:
            await endpoint.channel.close()

    async def acquire(self, tried: set[str], *, wait: float, refuse_when_full: bool) -> Lease:
        """A place for a stream; waits up to `wait` seconds for one.

        Raises Busy at once when every slot is taken and `refuse_when_full`, NoWorker (or Busy) when time is up.
        """
        until = self._clock() + wait
        while True:
            now = self._clock()
            choice = choose([endpoint.state.view(now) for endpoint in self._endpoints.values()], tried)
            if isinstance(choice, str):
                return self._lease(self._endpoints[choice])
            full = choice is Refusal.ALL_FULL
            if full and (refuse_when_full or now >= until):
                raise Busy(self.retry_after_ms())
            if not self._endpoints or now >= until:
                raise NoWorker
            await self._wait_for_change(min(until - now, self._soonest_return(now)))

    def full(self) -> bool:
        """Whether workers serve and have no slot for a further stream."""
        now = self._clock()
        return choose([endpoint.state.view(now) for endpoint in self._endpoints.values()]) is Refusal.ALL_FULL

    def retry_after_ms(self) -> int:
        """When one that found no room is to come again: each at another moment, from the set time to twice that."""
        return int(self._config.retry.busy_retry_after_ms * (1 + self._rng()))

    def has_other(self, key: str) -> bool:
        """Whether a stream could leave endpoint `key` for another one now."""
        now = self._clock()
        views = [endpoint.state.view(now) for endpoint in self._endpoints.values() if endpoint.state.key != key]
        return isinstance(choose([view for view in views if not view.ejected]), str)

    def snapshot(self) -> ServiceSnapshot:
        """The service as it stands."""
        now = self._clock()
        serving = [
            e.state.report.description for e in self._endpoints.values() if e.state.available(now) and e.state.report
        ]
        return ServiceSnapshot(
            workers_total=len(self._endpoints),
            workers_serving=len(serving),
            slots_total=sum(d.slots.total for d in serving),
            slots_free=sum(d.slots.free for d in serving),
            models=tuple(sorted({model.name for d in serving for model in d.models})),
            languages=tuple(sorted({language for d in serving for language in d.languages})),
            formats=tuple(sorted({mime for d in serving for mime in d.formats})),
        )

    async def close(self) -> None:
        """Stop watching and close every channel."""
        await _cancel(set(self._monitors.values()))
        for endpoint in [*self._endpoints.values(), *self._retired]:
            await endpoint.channel.close()
        self._endpoints.clear()
        self._retired.clear()
        self._notify()

    def _make(self, address: EndpointAddress, *, whole: bool) -> Endpoint:
        probing = self._config.probing
        fresh_for = probing.interval + probing.timeout
        channel = WorkerChannel(address, self._config.tls, self._config.worker_token)
        state = EndpointState(address.target, self._config.retry, fresh_for, whole=whole)
        return Endpoint(address, channel, state, probing=probing, clock=self._clock, changed=self._notify)

    async def _retire(self, target: str) -> None:
        await _cancel({self._monitors.pop(target)})
        endpoint = self._endpoints.pop(target)
        endpoint.state.retired = True
        self._retired.append(endpoint)

    def _lease(self, endpoint: Endpoint) -> Lease:
        endpoint.streams += 1
        endpoint.state.stream_opened()
        return Lease(endpoint, self._release)

    def _release(self, endpoint: Endpoint, failure: UpstreamFailure | None) -> None:
        endpoint.streams -= 1
        endpoint.state.stream_closed()
        if isinstance(failure, CallFailed) and failure.status == "RESOURCE_EXHAUSTED":
            endpoint.state.refused()
        elif isinstance(failure, UpstreamFailure) and failure.ejects:
            endpoint.state.eject(self._clock())
        self._notify()

    def _soonest_return(self, now: float) -> float:
        pauses = [endpoint.state.ejected_for(now) for endpoint in self._endpoints.values()]
        return min((pause for pause in pauses if pause > 0), default=float("inf"))

    async def _wait_for_change(self, seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(max(seconds, 0.001)):
                await changed.wait()
        except TimeoutError:
            return

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
