"""Every session of this gateway: found by id, begun, bounded in number, ended together at shutdown."""

from __future__ import annotations

import asyncio

import structlog

from gateway.auth import new_session_id
from gateway.sessions.context import GatewayContext
from gateway.sessions.runner import SessionRunner
from gateway.store.base import LossReason, StoreError

log = structlog.get_logger()


class DirectoryFullError(Exception):
    """There is no room for another session, or for another unauthenticated socket."""


class SessionOverError(Exception):
    """The session cannot be joined, and another one cannot begin under its id."""


class SessionDeletedError(SessionOverError):
    """The session was deleted on demand and must not come back."""


class SessionEndingError(SessionOverError):
    """The grace time of the session is over, and its last results are still to be stored."""


class SessionDirectory:
    """Owner of all session runners. A session id has at most one runner, so that one alone writes to the store.

    Sockets that have shown no credential wait apart: they count against a bound of their own and push nothing out.
    """

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._sessions: dict[str, SessionRunner] = {}  # in the order of their beginning
        self._unauthenticated: dict[SessionRunner, None] = {}
        self.draining = False
        context.store.watch(self.lose, self._count_forgotten)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def unauthenticated(self) -> int:
        """How many sockets have shown no credential yet."""
        return len(self._unauthenticated)

    def waiting_messages(self) -> int:
        """Messages in all outboxes."""
        return sum(len(runner.peer.outbox) for runner in self._all() if runner.peer is not None)

    def get(self, session_id: str) -> SessionRunner | None:
        """A session that can be joined."""
        runner = self._sessions.get(session_id)
        return runner if runner is not None and runner.phase.is_joinable else None

    def begin_unauthenticated(self) -> SessionRunner:
        """A session for a socket that has shown no credential; nobody can join it. Raises DirectoryFullError."""
        if self.draining or len(self._unauthenticated) >= self._context.config.max_unauthenticated:
            raise DirectoryFullError
        runner = SessionRunner(new_session_id(), self._context, self._forget)
        self._unauthenticated[runner] = None
        return runner

    def admit(self, runner: SessionRunner) -> None:
        """Count an unauthenticated session as a session: its client showed a credential. Raises DirectoryFullError."""
        self._make_room()
        del self._unauthenticated[runner]
        self._add(runner)

    async def open(self, session_id: str | None) -> SessionRunner:
        """The session of this id, restored or begun if need be; None: a new one. Raises what `find` raises."""
        if session_id is not None and (known := await self.find(session_id)) is not None:
            return known
        return self._begin(session_id or new_session_id())

    async def find(self, session_id: str) -> SessionRunner | None:
        """The session of this id: held here, or restored as another process left it. None: unknown, or over.

        Raises SessionOverError, DirectoryFullError, StoreError.
        """
        known = self._joinable(session_id)
        if known is not None:
            is_mine = await self._is_mine(session_id)
            # Other requests ran meanwhile: only the runner that was asked about may be given up.
            current = self._joinable(session_id)
            if current is not None and (is_mine or current is not known):
                return current
            if current is not None:
                self._yield(current)
        stored = await self._context.store.claim(session_id)
        if (meanwhile := self._joinable(session_id)) is not None:
            return meanwhile
        if stored is None:
            return None
        if stored.deleted:
            raise SessionDeletedError
        if stored.closed:
            self._context.store.release(session_id, closed=True)
            return None
        try:
            runner = self._begin(session_id)
        except DirectoryFullError:
            self._context.store.release(session_id, closed=False)
            raise
        runner.restore(stored)
        log.info("session restored", session_id=session_id, streams=len(stored.streams))
        return runner

    def lose(self, session_id: str, reason: LossReason) -> None:
        """The store reports that another gateway claimed or deleted a session: end it here at once."""
        runner = self._sessions.get(session_id)
        if runner is None:
            return
        if reason is LossReason.DELETED:
            log.info("session deleted elsewhere", session_id=session_id)
            runner.delete(is_elsewhere=True)
        else:
            self._yield(runner)

    def delete(self, session_id: str) -> None:
        """End a session at once, its text with it: it is being deleted."""
        runner = self._sessions.get(session_id)
        if runner is not None:
            runner.delete()

    def stored_sessions(self) -> list[str]:
        """The ids of the live sessions that the store has."""
        return [session_id for session_id, runner in self._sessions.items() if runner.phase.is_stored]

    async def drain(self, seconds: float) -> None:
        """Begin nothing more; wait for due results, for `seconds` at most, then close all sockets (1012).

        With a store that outlives this process streams stay open, to be resumed elsewhere; else they end.
        """
        self.draining = True
        runners = self._all()
        for runner in runners:
            runner.wind_up()
        waits = [asyncio.ensure_future(runner.quiet.wait()) for runner in runners]
        if waits:
            _, late = await asyncio.wait(waits, timeout=seconds)
            for wait in late:
                wait.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for runner in runners:
            runner.drain()
        await asyncio.gather(*(runner.wait_over() for runner in runners))

    def _all(self) -> list[SessionRunner]:
        return [*self._sessions.values(), *self._unauthenticated]

    def _joinable(self, session_id: str) -> SessionRunner | None:
        """The runner of a session, if there is one. Raises SessionEndingError if it cannot be joined any more."""
        runner = self._sessions.get(session_id)
        if runner is not None and not runner.phase.is_joinable:
            raise SessionEndingError
        return runner

    async def _is_mine(self, session_id: str) -> bool:
        """While the store does not answer, yes: it takes no writes of a session that was claimed elsewhere."""
        try:
            return await self._context.store.holds(session_id)
        except StoreError:
            return True

    def _count_forgotten(self, _session_id: str, finals: int) -> None:
        self._context.metrics.store_sessions_forgotten.inc()
        self._context.metrics.store_finals_forgotten.inc(finals)

    def _yield(self, runner: SessionRunner) -> None:
        log.info("session taken over", session_id=runner.session_id)
        runner.yield_to_other_gateway()

    def _begin(self, session_id: str) -> SessionRunner:
        self._make_room()
        runner = SessionRunner(session_id, self._context, self._forget)
        self._add(runner)
        return runner

    def _make_room(self) -> None:
        """Make sure that one more session fits; end the oldest idle one if need be. Raises DirectoryFullError."""
        if self.draining:
            raise DirectoryFullError
        if len(self._sessions) >= self._context.config.max_sessions:
            idle = next((runner for runner in self._sessions.values() if runner.is_idle), None)
            if idle is None:
                raise DirectoryFullError
            idle.end_grace()

    def _add(self, runner: SessionRunner) -> None:
        self._sessions[runner.session_id] = runner
        self._context.metrics.sessions.set(len(self._sessions))

    def _forget(self, runner: SessionRunner) -> None:
        self._unauthenticated.pop(runner, None)
        if self._sessions.get(runner.session_id) is runner:
            del self._sessions[runner.session_id]
        self._context.metrics.sessions.set(len(self._sessions))
