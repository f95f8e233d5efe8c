"""One cell: its sessions arrive, a zone falls silent, clients and streams find other places."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from talkup_client.backoff import delay_s

from bench.capacity.parts import CONFIG, Agenda, Gateway, Session, Worker
from bench.capacity.plan import Plan
from gateway.access.terms import Terms
from gateway.upstream.balancer import Refusal

_SERVICE = "stt"
_RETRY, _DEADLINES, _PROBING = CONFIG.retry, CONFIG.deadlines, CONFIG.probing


@dataclass(slots=True)
class Seen:
    """What happened in a cell. Lists hold seconds.

    `placed`: from arrival to a worker; `back`: from the failure to a gateway, `again`: from the failure to a worker;
    `returned` and `moved`: the same from the storm, the second of streams whose clients came to another gateway.
    `loads`: streams of each worker before the failure, `loads_after`: at the end.
    """

    counts: Counter[str] = field(default_factory=Counter)
    placed: list[float] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    returned: list[float] = field(default_factory=list)
    moved: list[float] = field(default_factory=list)
    loads: list[int] = field(default_factory=list)
    loads_after: list[int] = field(default_factory=list)
    longest_queue: float = 0.0
    steps: int = 0


class Cell:
    """Simulates one cell of a plan; equal plans and numbers give equal results."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._rng = random.Random(f"{plan.seed}/{number}")
        self._agenda = Agenda()
        self._workers = [Worker(f"w{index}", index % plan.zones, plan.slots) for index in range(plan.workers)]
        self._by_key = {worker.key: worker for worker in self._workers}
        self._gateways = [
            Gateway(index, index % plan.zones, self._workers, self._agenda, plan.owners, self._rng.random)
            for index in range(plan.gateways)
        ]
        first = number * plan.sessions_per_cell
        count = max(0, min(plan.sessions_per_cell, plan.sessions - first))
        self._sessions = [Session(Terms(owner=f"owner-{index % plan.owners}")) for index in range(count)]
        self._proxy_knows = False
        self.seen = Seen()

    def run(self) -> Seen:
        """Simulate to the end."""
        plan, agenda, rng = self._plan, self._agenda, self._rng
        for gateway in self._gateways:
            for worker in self._workers:
                agenda.after(rng.uniform(0, _PROBING.interval), lambda g=gateway, w=worker: self._probe(g, w))
        for session in self._sessions:
            begins = _PROBING.interval + 1 + rng.uniform(0, plan.ramp)
            agenda.after(begins, lambda s=session: self._arrive(s))
        agenda.run_until(plan.fails_at)
        self.seen.loads = [worker.used for worker in self._workers]
        self._lose_zone()
        agenda.run_until(plan.storm_at)
        self._lose_sockets()
        agenda.run_until(plan.ends_at)
        self.seen.loads_after = [worker.used for worker in self._workers if not worker.is_lost]
        self._count_end()
        self.seen.steps = agenda.steps
        return self.seen

    def _count_end(self) -> None:
        self.seen.counts["sessions"] = len(self._sessions)
        for session in self._sessions:
            if session.is_over:
                self.seen.counts["streams that ended with an error"] += 1
            elif session.worker is None:
                self.seen.counts["streams without a worker at the end"] += 1

    # --- what gateways know of workers

    def _probe(self, gateway: Gateway, worker: Worker) -> None:
        if gateway.is_lost:
            return
        state = gateway.states[worker.key]
        state.probe_sent()

        def answered() -> None:
            if not (worker.is_lost or gateway.is_lost):
                state.health_changed(True)
                state.probe_answered(worker.report(), self._agenda.now)
                gateway.changed()

        if not worker.is_lost:
            self._agenda.after(self._way(), answered)
        self._agenda.after(_PROBING.interval, lambda: self._probe(gateway, worker))

    # --- clients

    def _arrive(self, session: Session) -> None:
        session.since = self._agenda.now
        self._connect(session)

    def _connect(self, session: Session) -> None:
        """The load balancer sends the client to any gateway that it believes in; there it waits for its handshake."""
        if session.is_over:
            return
        gateways = [each for each in self._gateways if not (each.is_lost and self._proxy_knows)]
        gateway = self._rng.choice(gateways)
        if gateway.is_lost:
            self.seen.counts["connections to lost gateways"] += 1
            pause = self._plan.dead_end + delay_s(session.reconnects, self._rng.random)
            session.reconnects += 1
            self._agenda.after(pause, lambda: self._connect(session))
            return
        now, life = self._agenda.now, session.life
        gateway.free_at = max(now, gateway.free_at) + self._plan.handshake
        self.seen.longest_queue = max(self.seen.longest_queue, gateway.free_at - now)
        self._agenda.after(gateway.free_at - now, lambda: self._connected(session, gateway, life))

    def _connected(self, session: Session, gateway: Gateway, life: int) -> None:
        if session.life != life or gateway.is_lost:
            if session.life == life:
                self._client_lost(session)
            return
        session.reconnects = 0
        if session.is_resumed:
            self._note(self.seen.back, self.seen.returned)
        held = session.gateway
        if held is gateway:
            return  # the session waited here, and its stream goes on
        if held is not None:
            self._leave(session, held)
        session.gateway = gateway
        self._begin(session)

    def _note(self, after_failure: list[float], after_storm: list[float]) -> None:
        """Note the time since the latest trouble."""
        since_storm = self._agenda.now - self._plan.storm_at
        if since_storm >= 0:
            after_storm.append(since_storm)
        else:
            after_failure.append(self._agenda.now - self._plan.fails_at)

    def _leave(self, session: Session, gateway: Gateway) -> None:
        """The session is claimed by another gateway: this one ends its call, and the worker frees the slot."""
        session.life += 1
        if (worker := session.worker) is not None:
            gateway.streams[worker.key].pop(session)
            gateway.states[worker.key].stream_closed()
            worker.free()
            session.worker = None
        self._give_back_slot(session, gateway)

    def _begin(self, session: Session) -> None:
        """A new stream passes admission; one that is resumed goes to the workers at once."""
        gateway = session.gateway
        if gateway is None or gateway.is_lost or session.is_over:
            return
        if not session.is_resumed and (problem := gateway.admit(session.terms)) is not None:
            self.seen.counts[f"admissions refused ({problem.code})"] += 1
            wait = (problem.retry_after_ms or 2000) / 1000
            self._agenda.after(wait + self._rng.random(), lambda: self._begin(session))
            return
        session.slot = gateway.shares.take(session.terms, _SERVICE, lambda _: False)
        self._look(session, gateway)

    # --- placement, as ServicePlacement.acquire and retry.admit do it

    def _look(self, session: Session, gateway: Gateway, left: str | None = None) -> None:
        session.attempts = 0
        session.tried = set() if left is None else {left}
        is_running = session.is_resumed
        until = self._agenda.now + (_DEADLINES.recover if is_running else _DEADLINES.admit)
        self._try(session, gateway, session.life, until)

    def _try(self, session: Session, gateway: Gateway, life: int, until: float) -> None:
        if session.life != life or gateway.is_lost:
            return
        now = self._agenda.now
        choice = gateway.choose(session.tried)
        if isinstance(choice, str):
            session.tried.add(choice)
            session.attempts += 1
            self.seen.counts["attempts"] += 1
            gateway.states[choice].stream_opened()
            worker = self._by_key[choice]
            wait = _DEADLINES.connect if worker.is_lost else self._way()
            self._agenda.after(wait, lambda: self._answered(session, gateway, worker, life, until))
        elif now >= until or (choice is Refusal.ALL_FULL and not session.is_resumed):
            self._refused(session, gateway, life, is_full=choice is Refusal.ALL_FULL)
        else:
            self.seen.counts["waits for a change"] += 1
            gateway.waiting.append(lambda: self._try(session, gateway, life, until))

    def _answered(self, session: Session, gateway: Gateway, worker: Worker, life: int, until: float) -> None:
        """The worker admits the stream, refuses it, or does not answer at all."""
        state = gateway.states[worker.key]
        if gateway.is_lost:
            return
        if session.life == life and not worker.is_lost and worker.admit():
            session.worker = worker
            gateway.streams[worker.key][session] = None
            if session.is_resumed:
                self._note(self.seen.again, self.seen.moved)
            else:
                self.seen.placed.append(self._agenda.now - session.since)
            self.seen.counts["placed at the first attempt"] += session.attempts == 1
            session.is_resumed = True
            return
        state.stream_closed()
        if worker.is_lost:
            self.seen.counts["attempts at lost workers"] += 1
            state.eject(self._agenda.now)
        else:
            self.seen.counts["attempts at full workers"] += 1
            state.refused()
        limit = _RETRY.recover_attempts if session.is_resumed else _RETRY.attempts
        pause = self._rng.random() * min(_RETRY.wait_last, _RETRY.wait_first * 2.0 ** min(session.attempts - 1, 16))
        if session.attempts >= limit or self._agenda.now + pause > until:
            self._refused(session, gateway, life, is_full=not worker.is_lost)
            return
        self._agenda.after(pause, lambda: self._try(session, gateway, life, until))

    def _refused(self, session: Session, gateway: Gateway, life: int, *, is_full: bool) -> None:
        """A running stream ends with an error; a new one is `busy`, and its client starts it again later."""
        if session.life != life:
            return
        self._give_back_slot(session, gateway)
        if session.is_resumed:
            session.is_over = True
            return
        self.seen.counts["streams refused for now" if is_full else "streams that found no worker"] += 1
        pause = _RETRY.busy_retry_after_ms / 1000 * (1 + self._rng.random())
        self._agenda.after(pause, lambda: self._begin(session))

    # --- the failure

    def _lose_zone(self) -> None:
        plan, rng = self._plan, self._rng
        for worker in self._workers:
            worker.is_lost = worker.zone == 0
        for gateway in self._gateways:
            gateway.is_lost = gateway.zone == 0
        self._agenda.after(plan.proxy_notices, self._tell_proxy)
        for session in self._sessions:
            gateway = session.gateway
            if gateway is not None and gateway.is_lost:
                self.seen.counts["sessions that lost their gateway"] += 1
                if (worker := session.worker) is not None and not worker.is_lost:
                    # The worker serves nobody until it notices.
                    self.seen.counts["slots held by nobody"] += 1
                    self._agenda.after(rng.uniform(*plan.worker_notices), worker.free)
                self._agenda.after(rng.uniform(*plan.client_notices), lambda s=session: self._client_lost(s))
            elif session.worker is not None and session.worker.is_lost:
                self.seen.counts["streams that lost only their worker"] += 1
        for gateway in self._gateways:
            if not gateway.is_lost:
                for worker in (each for each in self._workers if each.is_lost):
                    noticed = rng.uniform(*plan.gateway_notices)
                    self._agenda.after(noticed, lambda g=gateway, w=worker: self._worker_lost(g, w))

    def _lose_sockets(self) -> None:
        for session in self._sessions:
            if session.gateway is not None and not session.gateway.is_lost and not session.is_over:
                self.seen.counts["sockets lost in the storm"] += 1
                pause = delay_s(0, self._rng.random)
                session.reconnects = 1
                self._agenda.after(pause, lambda s=session: self._connect(s))

    def _tell_proxy(self) -> None:
        self._proxy_knows = True

    def _client_lost(self, session: Session) -> None:
        """A client notices that its gateway is silent, and comes back somewhere else."""
        session.life += 1
        session.gateway = session.worker = session.slot = None
        pause = delay_s(session.reconnects, self._rng.random)
        session.reconnects += 1
        self._agenda.after(pause, lambda: self._connect(session))

    def _worker_lost(self, gateway: Gateway, worker: Worker) -> None:
        """A gateway notices that a worker is silent: its streams look for another one."""
        state = gateway.states[worker.key]
        state.health_changed(False)
        state.eject(self._agenda.now)
        streams, gateway.streams[worker.key] = gateway.streams[worker.key], {}
        for session in streams:
            state.stream_closed()
            session.life += 1
            session.worker = None
            self._look(session, gateway, left=worker.key)

    def _give_back_slot(self, session: Session, gateway: Gateway) -> None:
        if session.slot is not None:
            gateway.shares.free(session.slot)
            session.slot = None

    def _way(self) -> float:
        return self._rng.uniform(*self._plan.way)
