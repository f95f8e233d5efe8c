"""The state of one endpoint, and the two tasks that keep it current: a health watch, and a probe every second.

An endpoint serves if its health service says so *and* it answered `Describe` recently. The worker itself reports the
first; the second detects a worker that reports nothing any more. Without a health service, only the second counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from talkup.v1 import worker_service_pb2

from gateway.upstream.balancer import EndpointView
from gateway.upstream.channel import EndpointAddress, WorkerChannel
from gateway.upstream.config import Probing, RetryPolicy
from gateway.upstream.failures import CallFailed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's answer to `Describe` and when it came (seconds on the pool's clock)."""

    description: worker_service_pb2.DescribeResponse
    heard_at: float


class EndpointState:
    """Facts about one endpoint; decides nothing about streams. `now` is always seconds on the pool's clock."""

    def __init__(self, key: str, policy: RetryPolicy, fresh_for: float, *, whole: bool = False) -> None:
        self.key = key
        self.whole = whole
        self.retired = False
        self.report: Report | None = None
        self._policy = policy
        self._fresh_for = fresh_for
        self._healthy = False
        self._draining = False
        self._told_since_probe = False
        self._full = False
        self._pending = 0
        self._pending_at_probe = 0
        self._ejected_until = 0.0
        self._ejections = 0

    def health_changed(self, healthy: bool) -> None:
        """The health service spoke. A worker that comes (back) to serving starts with a clean slate."""
        if healthy and not self._healthy:
            self._ejected_until = 0.0
            self._draining = self._told_since_probe = False
        self._healthy = healthy

    def probe_sent(self) -> None:
        """From here on, opens and closes may be missing from the coming report."""
        self._pending_at_probe = self._pending
        self._told_since_probe = False

    def probe_answered(self, description: worker_service_pb2.DescribeResponse, now: float) -> None:
        """A report came: it counts what was opened and closed before it was asked for; `drain` may be younger."""
        self.report = Report(description, now)
        self._pending -= self._pending_at_probe
        self._pending_at_probe = 0
        self._full = False
        self._draining = description.draining or self._told_since_probe

    def stream_opened(self) -> None:
        """A slot is (about to be) taken from here."""
        self._pending += 1

    def stream_closed(self) -> None:
        """A slot taken from here is free again."""
        self._pending -= 1
        self._full = False

    def refused(self) -> None:
        """The worker had no room, whatever it reported: believed until the next report."""
        self._full = True

    def drain(self) -> None:
        """The worker said that it is going."""
        self._draining = self._told_since_probe = True

    def eject(self, now: float) -> None:
        """Leave it alone for a while, longer each time in a row."""
        if now < self._ejected_until:
            return
        pause = min(self._policy.eject_first * 2**self._ejections, self._policy.eject_last)
        self._ejections = min(self._ejections + 1, 16)
        self._ejected_until = now + pause

    def did_well(self) -> None:
        """A stream made progress there: earlier failures no longer count."""
        self._ejections = 0

    def ejected_for(self, now: float) -> float:
        """Seconds until the endpoint may be used again; 0 when it may."""
        return max(0.0, self._ejected_until - now)

    @property
    def described(self) -> bool:
        """Whether a report tells of a loaded worker: before its model is there, it has no slots to speak of."""
        return self.report is not None and (self.whole or self.report.description.slots.total > 0)

    def silent_for(self, now: float) -> float:
        """Seconds since the worker last answered a probe; 0 when no probe tells of this one worker."""
        return 0.0 if self.whole or self.retired or self.report is None else now - self.report.heard_at

    def available(self, now: float) -> bool:
        """Reachable, loaded, not going: what `status` calls serving."""
        fresh = self.report is not None and now - self.report.heard_at <= self._fresh_for
        return self._healthy and self.described and fresh and not self._draining and not self.retired

    def view(self, now: float) -> EndpointView:
        """What the balancer needs."""
        free: int | None = None
        if self._full:
            free = 0
        elif not self.whole and self.report is not None:
            free = self.report.description.slots.free
        pending = 0 if self._full else self._pending
        return EndpointView(self.key, self.available(now), free, pending, ejected=self.ejected_for(now) > 0)


class Endpoint:
    """One worker address: its channel, its state, and the tasks that keep the state up to date."""

    def __init__(
        self,
        address: EndpointAddress,
        channel: WorkerChannel,
        state: EndpointState,
        *,
        probing: Probing,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        """`changed` is called whenever a stream waiting for a worker should look again."""
        self.address = address
        self.channel = channel
        self.state = state
        self.streams = 0
        self._probing = probing
        self._clock = clock
        self._changed = changed
        self._probe_now = asyncio.Event()

    async def run(self) -> None:
        """Watch and probe until cancelled."""
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._watch())
                    group.create_task(self._probe())
            except* Exception:  # The edge of the endpoint's task: a defect here must not blind the gateway for good.
                log.exception("watching a worker failed", target=self.address.target)
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
            except CallFailed:
                pass
            else:
                self.state.probe_answered(description, self._clock())
                self._changed()
            await self._pause()

    async def _pause(self) -> None:
        """Until the next probe is due: an interval, less while nothing is known, no time when the worker comes up."""
        known = self.state.described
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._probing.interval if known else self._probing.interval / 4):
                await self._probe_now.wait()
        self._probe_now.clear()

    def _set_health(self, healthy: bool) -> None:
        before = self.state.available(self._clock())
        self.state.health_changed(healthy)
        if healthy and not self.state.described:
            self._probe_now.set()
        after = self.state.available(self._clock())
        if before != after:
            log.info("worker serving" if after else "worker not serving", target=self.address.target)
        self._changed()
