"""The parts of a simulated cell: time, workers, sessions, and gateways that decide with the code of real ones."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from talkup.v1 import task_pb2, worker_service_pb2

from gateway.access.shares import Shares, Slot
from gateway.access.terms import Terms
from gateway.metrics import Metrics
from gateway.protocol.errors import Problem
from gateway.protocol.messages import StreamStart
from gateway.protocol.negotiation import StreamSpec, negotiate
from gateway.sessions.admission import admit_stream
from gateway.sessions.context import GatewayContext
from gateway.upstream.balancer import Refusal, choose
from gateway.upstream.config import UpstreamConfig
from gateway.upstream.health import EndpointState, room_of

_SPEECH = negotiate(StreamStart(format="audio/webm"), "stream")
assert isinstance(_SPEECH, StreamSpec)
CONFIG = UpstreamConfig(endpoints={})
_FRESH_FOR = CONFIG.probing.interval + CONFIG.probing.timeout
_IDLE_S = 30.0


class Agenda:
    """Simulated time: what is due next comes next, in the order in which it was entered."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._entered = 0

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Enter an action, `seconds` from now."""
        self._entered += 1
        heapq.heappush(self._due, (self.now + seconds, self._entered, action))

    def run_until(self, end: float) -> None:
        """Do everything that is due before `end`."""
        while self._due and self._due[0][0] < end:
            self.now, _, action = heapq.heappop(self._due)
            self.steps += 1
            action()
        self.now = end


@dataclass(eq=False, slots=True)
class Worker:
    """A worker: it refuses what exceeds its slots."""

    key: str
    zone: int
    slots: int
    used: int = 0
    is_lost: bool = False
    _report: worker_service_pb2.DescribeResponse | None = None

    def admit(self) -> bool:
        """Whether a stream got a slot."""
        if self.used >= self.slots:
            return False
        self.used += 1
        self._report = None
        return True

    def free(self) -> None:
        """A stream has left."""
        self.used -= 1
        self._report = None

    def report(self) -> worker_service_pb2.DescribeResponse:
        """The answer to `Describe`."""
        if self._report is None:
            slots = task_pb2.Slots(total=self.slots, free=self.slots - self.used)
            self._report = worker_service_pb2.DescribeResponse(slots=slots)
        return self._report


class Gateway:
    """One gateway process: the real state of every worker, the real balancer, the real admission and shares."""

    def __init__(
        self, number: int, zone: int, workers: list[Worker], agenda: Agenda, owners: int, rng: Callable[[], float]
    ) -> None:
        self.name = number
        self.zone = zone
        self.is_lost = False
        self.free_at = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.states = {worker.key: EndpointState(worker.key, CONFIG.retry, _FRESH_FOR) for worker in workers}
        self.streams: dict[str, dict[Session, None]] = {worker.key: {} for worker in workers}
        self._agenda = agenda
        self._rng = rng
        self.shares = Shares(lambda: owners, lambda: agenda.now, _IDLE_S, lambda: agenda.now)
        # What admission needs of a gateway; all other parts would need sockets.
        needed: Any = SimpleNamespace(shares=self.shares, upstream=self, metrics=Metrics())
        self._context = cast(GatewayContext, needed)

    def room(self, _service: task_pb2.ServiceType) -> tuple[int, int] | None:
        """See `Upstream.room`."""
        return room_of(self.states.values(), self._agenda.now)

    def admit(self, terms: Terms) -> Problem | None:
        """See `admit_stream`."""
        return admit_stream(self._context, terms, _SPEECH, can_wait=True)

    def choose(self, tried: set[str]) -> str | Refusal:
        """The worker for the next stream."""
        now = self._agenda.now
        return choose([state.view(now) for state in self.states.values()], self._rng, tried)

    def changed(self) -> None:
        """Streams that wait for a worker look again."""
        waiting, self.waiting = self.waiting, []
        for look in waiting:
            look()


@dataclass(eq=False, slots=True)
class Session:
    """One client with one stream. `since`: when it arrived."""

    terms: Terms
    since: float = 0.0
    gateway: Gateway | None = None
    worker: Worker | None = None
    slot: Slot | None = None
    reconnects: int = 0
    attempts: int = 0
    is_resumed: bool = False
    is_over: bool = False
    tried: set[str] = field(default_factory=set)
    # Rises with every loss: what was under way for an earlier place no longer counts.
    life: int = 0
