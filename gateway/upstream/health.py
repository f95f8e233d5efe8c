"""The state of one endpoint, and the two tasks that keep it current: a health watch and a probe every second.

An endpoint is serving if its health service says so *and* it recently answered `Describe`. The worker itself reports
the first; the second detects a worker that no longer reports anything. Without a health service, only the second
counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog
from talkup.v1 import worker_service_pb2

from gateway.upstream.balancer import EndpointView
from gateway.upstream.causes import Cause
from gateway.upstream.channel import EndpointAddress, WorkerChannel
from gateway.upstream.config import Probing, RetryPolicy
from gateway.upstream.diagnosis import Diagnosis
from gateway.upstream.failures import CallFailed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's answer to `Describe` and when it arrived (seconds on the pool's clock)."""

    description: worker_service_pb2.DescribeResponse
    received_at: float


class EndpointState:
    """What is known about one endpoint; decides nothing about streams. `now` is in seconds on the pool's clock."""

    def __init__(self, key: str, policy: RetryPolicy, fresh_for: float, *, balanced_by_grpc: bool = False) -> None:
        self.key = key
        self.balanced_by_grpc = balanced_by_grpc
        self.retired = False
        self.report: Report | None = None
        self._policy = policy
        self.fresh_for = fresh_for
        self._healthy = False
        self._draining = False
        self._drain_reported_since_probe = False
        self._full = False
        self._pending = 0
        self._pending_at_probe = 0
        self._ejected_until = 0.0
        self._ejections = 0

    def health_changed(self, healthy: bool) -> None:
        """Record a health report. A worker that starts serving (again) starts with a clean slate."""
        if healthy and not self._healthy:
            self._ejected_until = 0.0
            self._draining = self._drain_reported_since_probe = False
        self._healthy = healthy

    def probe_sent(self) -> None:
        """Record that a probe was sent. Its report may not include streams opened or closed from now on."""
        self._pending_at_probe = self._pending
        self._drain_reported_since_probe = False

    def probe_answered(self, description: worker_service_pb2.DescribeResponse, now: float) -> None:
        """Record a report: it includes streams opened or closed before its probe, but not a `drain` that came later."""
        self.report = Report(description, now)
        self._pending -= self._pending_at_probe
        self._pending_at_probe = 0
        self._full = False
        self._draining = description.draining or self._drain_reported_since_probe

    def stream_opened(self) -> None:
        """A stream of this gateway takes a slot."""
        self._pending += 1

    def stream_closed(self) -> None:
        """A stream of this gateway released its slot."""
        self._pending -= 1
        self._full = False

    def refused(self) -> None:
        """The worker refused a stream because it is full, whatever it reported; believed until the next report."""
        self._full = True

    def drain_reported(self) -> None:
        """The worker reported that it is draining."""
        self._draining = self._drain_reported_since_probe = True

    def eject(self, now: float) -> None:
        """Take the endpoint out of use for a while, twice as long after each failure in a row."""
        if now < self._ejected_until:
            return
        pause = min(self._policy.eject_first * 2**self._ejections, self._policy.eject_last)
        self._ejections = min(self._ejections + 1, 16)
        self._ejected_until = now + pause

    def stream_progressed(self) -> None:
        """A stream made progress on this worker: earlier failures no longer count."""
        self._ejections = 0

    def ejected_for(self, now: float) -> float:
        """Seconds until the endpoint may be used again; 0 when it may."""
        return max(0.0, self._ejected_until - now)

    @property
    def draining(self) -> bool:
        """Whether the worker says that it admits no streams because it is taken out of rotation, or stops."""
        return self._draining

    @property
    def described(self) -> bool:
        """Whether the latest report comes from a loaded worker; one that is still loading reports no slots."""
        return self.report is not None and (self.balanced_by_grpc or self.report.description.slots.total > 0)

    def silent_for(self, now: float) -> float:
        """Seconds since the worker last answered a probe; 0 if probes do not reach one particular worker."""
        return 0.0 if self.balanced_by_grpc or self.retired or self.report is None else now - self.report.received_at

    def available(self, now: float) -> bool:
        """Whether the endpoint is reachable, loaded and not draining; `status` calls this serving."""
        fresh = self.report is not None and now - self.report.received_at <= self.fresh_for
        return self._healthy and self.described and fresh and not self._draining and not self.retired

    def absence(self) -> Cause:
        """Why a worker that answers probes is not available."""
        if self.report is None:
            return Cause.NOT_ASKED_YET
        if self._draining:
            return Cause.DRAINING
        return Cause.NOT_SERVING if self.described else Cause.LOADING

    def view(self, now: float) -> EndpointView:
        """The endpoint as the balancer sees it."""
        free: int | None = None
        if self._full:
            free = 0
        elif not self.balanced_by_grpc and self.report is not None:
            free = self.report.description.slots.free
        pending = 0 if self._full else self._pending
        return EndpointView(self.key, self.available(now), free, pending, ejected=self.ejected_for(now) > 0)


def room_of(states: Iterable[EndpointState], now: float) -> tuple[int, int] | None:
    """Slots in all and free ones, at the endpoints that are available; None if they are not known."""
    total, free = 0, 0.0
    for state in states:
        if not state.available(now):
            continue
        view = state.view(now)
        if view.free is None or state.report is None:
            return None
        total += state.report.description.slots.total
        free += view.room
    return (total, int(free)) if total else None


class Endpoint:
    """One worker address: its channel, its state, and the tasks that keep the state up to date."""

    def __init__(
        self,
        address: EndpointAddress,
        channel: WorkerChannel,
        state: EndpointState,
        *,
        diagnosis: Diagnosis,
        probing: Probing,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called whenever streams that wait for a worker should check again."""
        self._diagnosis = diagnosis
        self.address = address
        self.channel = channel
        self.state = state
        self.streams = 0
        self._probing = probing
        self._clock = clock
        self._changed = changed
        self._probe_now = asyncio.Event()
        self._known_available = False

    def trouble(self) -> Cause | None:
        """Why the worker cannot be used now; None if it can."""
        if self.state.available(self._clock()):
            return None
        return self._diagnosis.cause or self.state.absence()

    async def run(self) -> None:
        """Watch and probe until cancelled."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watch())
                    group.create_task(self._probe())
                    group.create_task(self._diagnosis.run())
            except* Exception:  # The edge of the endpoint's task: a bug must not end the monitoring for good.
                log.exception("worker monitoring failed", target=self.address.target)
            await asyncio.sleep(self._probing.interval)

    async def _watch(self) -> None:
        while True:
            try:
                async for healthy in self.channel.watch_health():
                    self._set_health(healthy)
                self._set_health(False)
            except CallFailed as failure:
                self._set_health(failure.status == "UNIMPLEMENTED")
            await asyncio.sleep(self._probing.interval / 4)

    async def _probe(self) -> None:
        while True:
            self.state.probe_sent()
            try:
                description = await self.channel.describe(self._probing.timeout)
            except CallFailed as failure:
                self._diagnosis.failed(failure)
            else:
                self._answered(description)
            self._log_availability()
            await self._wait_for_next_probe()

    def _answered(self, description: worker_service_pb2.DescribeResponse) -> None:
        """Take a worker's report, unless it is a worker of another service."""
        if self._diagnosis.answered(description.service_type):
            self.state.probe_answered(description, self._clock())
            self._changed()

    async def _wait_for_next_probe(self) -> None:
        """Wait until the next probe is due.

        That is one interval, a quarter of it until the first report, and no time once the worker starts serving.
        """
        known = self.state.described
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._probing.interval if known else self._probing.interval / 4):
                await self._probe_now.wait()
        self._probe_now.clear()

    def _set_health(self, healthy: bool) -> None:
        self.state.health_changed(healthy)
        if healthy and not self.state.available(self._clock()):
            self._probe_now.set()
        self._log_availability()
        self._changed()

    def _log_availability(self) -> None:
        """Log whether the worker is available, if that has changed: by its health or by its answers to probes."""
        available = self.state.available(self._clock())
        if available != self._known_available:
            self._known_available = available
            log.info("worker serving" if available else "worker not serving", target=self.address.target)
