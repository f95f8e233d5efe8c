"""The endpoints of one service, leased to streams."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from talkup.v1 import task_pb2

from gateway.upstream.balancer import Refusal, choose
from gateway.upstream.causes import Cause
from gateway.upstream.channel import EndpointAddress, WorkerChannel, certificates_version
from gateway.upstream.config import Links, UpstreamConfig
from gateway.upstream.diagnosis import Diagnosis
from gateway.upstream.failures import Busy, CallFailed, NoWorker, UpstreamFailure
from gateway.upstream.health import Endpoint, EndpointState, room_of
from gateway.upstream.turns import Turns


@dataclass(frozen=True, slots=True)
class ServiceSnapshot:
    """One service at one moment: endpoints known and serving, slots, and what the serving workers offer.

    `troubles`: why the others do not serve, with the number of workers; names that have no address count too.
    """

    workers_total: int
    workers_serving: int
    slots_total: int
    slots_free: int
    models: tuple[str, ...]
    languages: tuple[str, ...]
    formats: tuple[str, ...]
    troubles: tuple[tuple[Cause, int], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker address at one moment.

    `slots`: all and free ones, as it reported last; None while it is away or still loading, and for a name that gRPC
    balances itself. `draining`: it is out of rotation, or it stops. `streams`, `links`: those of this gateway.
    """

    address: str
    serving: bool
    draining: bool
    ejected: bool
    slots: tuple[int, int] | None
    streams: int
    links: int


@dataclass(slots=True)
class Lease:
    """A slot at an endpoint. The stream returns it once, with the failure it met there, if any."""

    endpoint: Endpoint
    _release: Callable[[Endpoint, UpstreamFailure | None], None]
    _returned: bool = False

    def release(self, failure: UpstreamFailure | None = None) -> None:
        """Return the slot; calling this again does nothing."""
        if not self._returned:
            self._returned = True
            self._release(self.endpoint, failure)


class ServicePlacement:
    """The endpoints of one service; its streams lease their slots."""

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
        self._unresolved = 0
        self._examination = asyncio.Semaphore(1)
        self._changed = asyncio.Event()

    async def update(self, addresses: Mapping[EndpointAddress, bool], *, unresolved: int = 0) -> None:
        """Replace the set of endpoints; `unresolved` names have no address now.

        New endpoints are monitored. Others get no new streams and close after their last stream. If certificates have
        changed, every endpoint is replaced. Raises PlaintextError or OSError and then changes nothing.
        """
        self._unresolved = unresolved
        certificates = certificates_version(self._config.tls)
        renew = certificates != self._certificates
        fresh = {
            address.target: self._make(address, balanced_by_grpc=balanced_by_grpc)
            for address, balanced_by_grpc in addresses.items()
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
        """Lease a slot for a stream; waits for one for up to `wait` seconds.

        Raises Busy at once if every slot is taken and `refuse_when_full` is set; NoWorker or Busy when the time is up.
        """
        until = self._clock() + wait
        while True:
            now = self._clock()
            choice = choose([endpoint.state.view(now) for endpoint in self._endpoints.values()], self._rng, tried)
            if isinstance(choice, str):
                return self._lease(self._endpoints[choice])
            full = choice is Refusal.ALL_FULL
            if full and (refuse_when_full or now >= until):
                raise Busy(self.retry_after_ms())
            if not self._endpoints or now >= until:
                raise NoWorker
            await self._wait_for_change(min(until - now, self._next_ejection_end(now)))

    def full(self) -> bool:
        """Whether workers are serving but have no free slot."""
        now = self._clock()
        views = [endpoint.state.view(now) for endpoint in self._endpoints.values()]
        return choose(views, self._rng) is Refusal.ALL_FULL

    def room(self) -> tuple[int, int] | None:
        """Slots in all and free ones, at the serving workers; None if they are not known."""
        return room_of((endpoint.state for endpoint in self._endpoints.values()), self._clock())

    def retry_after_ms(self) -> int:
        """When a refused stream may retry: a random moment between the configured time and twice that."""
        return int(self._config.retry.busy_retry_after_ms * (1 + self._rng()))

    def has_other(self, key: str) -> bool:
        """Whether a stream could now move from endpoint `key` to another one."""
        now = self._clock()
        views = [endpoint.state.view(now) for endpoint in self._endpoints.values() if endpoint.state.key != key]
        return isinstance(choose([view for view in views if not view.ejected], self._rng), str)

    def snapshot(self) -> ServiceSnapshot:
        """The current state of the service."""
        now = self._clock()
        serving = [
            e.state.report.description for e in self._endpoints.values() if e.state.available(now) and e.state.report
        ]
        troubles = Counter(cause for endpoint in self._endpoints.values() if (cause := endpoint.trouble()) is not None)
        troubles[Cause.NAME_NOT_FOUND] += self._unresolved
        return ServiceSnapshot(
            workers_total=len(self._endpoints),
            workers_serving=len(serving),
            slots_total=sum(d.slots.total for d in serving),
            slots_free=sum(d.slots.free for d in serving),
            models=tuple(sorted({model.name for d in serving for model in d.models})),
            languages=tuple(sorted({language for d in serving for language in d.languages})),
            formats=tuple(sorted({mime for d in serving for mime in d.formats})),
            troubles=tuple((cause, count) for cause, count in troubles.items() if count),
        )

    async def set_draining(self, address: str, draining: bool, deadline: float) -> int:
        """Take the worker at an address out of rotation, or back; returns how many streams of all gateways run there.

        Raises KeyError for an address that is not among `workers`, CallFailed if the worker does not do it within
        `deadline` seconds.
        """
        return await self._endpoints[address].channel.set_draining(draining, deadline)

    def workers(self) -> list[WorkerView]:
        """Every address, in the order of the settings."""
        now = self._clock()
        return [_seen(endpoint, now) for endpoint in self._endpoints.values()]

    async def close(self) -> None:
        """Stop monitoring and close every channel."""
        await cancel(set(self._monitors.values()))
        for endpoint in [*self._endpoints.values(), *self._retired]:
            await endpoint.channel.close()
        self._endpoints.clear()
        self._retired.clear()
        self._notify()

    def _make(self, address: EndpointAddress, *, balanced_by_grpc: bool) -> Endpoint:
        probing = self._config.probing
        fresh_for = probing.interval + probing.timeout
        if name := self._config.names.get(self._service):
            address = replace(address, authority=name)
        channel = WorkerChannel(
            address,
            self._config.tls,
            self._config.worker_token,
            use_proxy=self._config.use_proxy,
            links=Links.NEVER if balanced_by_grpc else self._config.links,
        )
        state = EndpointState(address.target, self._config.retry, fresh_for, balanced_by_grpc=balanced_by_grpc)
        diagnosis = Diagnosis(address, self._service, self._config, self._examination, self._clock)
        return Endpoint(
            address, channel, state, diagnosis=diagnosis, probing=probing, clock=self._clock, changed=self._notify
        )

    async def _retire(self, target: str) -> None:
        await cancel({self._monitors.pop(target)})
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

    def _next_ejection_end(self, now: float) -> float:
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


def _seen(endpoint: Endpoint, now: float) -> WorkerView:
    state = endpoint.state
    slots = state.report.description.slots if state.report is not None and state.described else None
    if state.balanced_by_grpc or slots is None or state.silent_for(now) > state.fresh_for:
        known = None
    else:
        known = slots.total, slots.free
    return WorkerView(
        address=state.key,
        serving=state.available(now),
        draining=state.draining,
        ejected=state.ejected_for(now) > 0,
        slots=known,
        streams=endpoint.streams,
        links=endpoint.channel.links,
    )


async def cancel(tasks: set[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
