"""Every session of this gateway: finding, creating, limiting and draining sessions."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from gateway.access.terms import OPEN_TERMS, Terms
from gateway.auth import new_session_id
from gateway.sessions.context import GatewayContext
from gateway.sessions.runner import SessionRunner
from gateway.store.base import LossReason, StoreError

log = structlog.get_logger()

# One session in ten is kept free for owners that have few.
_RESERVE: Final = 10


class DirectoryFullError(Exception):
    """The gateway has reached its limit of sessions."""


class QuotaError(DirectoryFullError):
    """The owner of the API key has reached its own limit of sessions."""


class SessionOverError(Exception):
    """The session cannot be joined, and no new one can start under its id."""


class SessionDeletedError(SessionOverError):
    """The session was deleted on request and must not come back."""


class SessionEndingError(SessionOverError):
    """The grace time of the session is over, and its last results are not stored yet."""


class SessionDirectory:
    """Owner of all session runners. A session id has at most one runner, so only one writes to the store.

    Sockets that have not sent a credential are kept apart: they do not count as sessions and never displace one.
    """

    def __init__(self, context: GatewayContext) -> None:
        self._context = context
        self._sessions: dict[str, SessionRunner] = {}
        # The same by owner, in order of creation.
        self._owned: dict[str, dict[SessionRunner, None]] = {}
        self._unauthenticated: dict[SessionRunner, None] = {}
        self.draining = False
        context.store.watch(self.session_lost, self._count_forgotten)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def owners(self) -> dict[str, int]:
        """The owners of sessions, with their numbers."""
        return {owner: len(owned) for owner, owned in self._owned.items()}

    @property
    def unauthenticated(self) -> int:
        """The number of sockets that have not sent a credential yet."""
        return len(self._unauthenticated)

    def waiting_messages(self) -> int:
        """The number of messages in all outboxes."""
        return sum(len(runner.peer.outbox) for runner in self._all() if runner.peer is not None)

    def get(self, session_id: str) -> SessionRunner | None:
        """A session that can be joined."""
        runner = self._sessions.get(session_id)
        return runner if runner is not None and runner.phase.is_joinable else None

    def begin_unauthenticated(self) -> SessionRunner:
        """Create a session, which nobody can join, for a socket without a credential. Raises DirectoryFullError.

        `gateway.admission` bounds these sockets.
        """
        if self.draining:
            raise DirectoryFullError
        runner = SessionRunner(new_session_id(), self._context, self._forget)
        self._unauthenticated[runner] = None
        return runner

    def admit(self, runner: SessionRunner, terms: Terms = OPEN_TERMS) -> None:
        """Make an unauthenticated session a regular one: its client sent a credential. Raises DirectoryFullError."""
        self._make_room(terms)
        del self._unauthenticated[runner]
        runner.terms = terms
        self._add(runner)

    async def open(self, session_id: str | None, terms: Terms = OPEN_TERMS) -> SessionRunner:
        """The session with this id, restored or created if necessary; None: a new one. Raises what `find` raises.

        `terms`: those of the API key behind the credential.
        """
        if session_id is not None and (known := await self.find(session_id, terms)) is not None:
            return known
        return self._create(session_id or new_session_id(), terms)

    async def owner_of(self, session_id: str) -> str | None:
        """Whose API key opened a session; None: it is unknown or deleted. Raises StoreError."""
        runner = self._sessions.get(session_id)
        return runner.terms.owner if runner is not None else await self._context.store.owner(session_id)

    async def find(self, session_id: str, terms: Terms = OPEN_TERMS) -> SessionRunner | None:
        """Find the session with this id, held here or restored as another process left it. None: unknown, or over.

        `terms`: those of the caller, who is allowed to use the session. Raises SessionOverError, DirectoryFullError,
        StoreError.
        """
        known = self._joinable(session_id)
        if known is not None:
            belongs_here = await self._belongs_here(session_id)
            # Other requests ran in the meantime: give up only the runner that the store was asked about.
            current = self._joinable(session_id)
            if current is not None and (belongs_here or current is not known):
                return current
            if current is not None:
                self._hand_over(current)
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
            runner = self._create(session_id, self._terms_of(stored.owner, terms))
        except DirectoryFullError:
            self._context.store.release(session_id, closed=False)
            raise
        runner.restore(stored)
        log.info("session restored", session_id=session_id, streams=len(stored.streams))
        return runner

    def session_lost(self, session_id: str, reason: LossReason) -> None:
        """The store reported that another gateway claimed or deleted a session: end it here at once."""
        runner = self._sessions.get(session_id)
        if runner is None:
            return
        if reason is LossReason.DELETED:
            log.info("session deleted elsewhere", session_id=session_id)
            runner.delete(is_elsewhere=True)
        else:
            self._hand_over(runner)

    def delete(self, session_id: str) -> None:
        """End a session at once, because it is being deleted together with its text."""
        runner = self._sessions.get(session_id)
        if runner is not None:
            runner.delete()

    def stored_sessions(self) -> list[str]:
        """The ids of the live sessions that the store has."""
        return [session_id for session_id, runner in self._sessions.items() if runner.phase.is_stored]

    async def drain(self, seconds: float) -> None:
        """Start nothing new; wait up to `seconds` for results that are due, then close all sockets (1012).

        If the store outlives this process, streams stay open and can be resumed elsewhere; otherwise they end.
        """
        self.draining = True
        runners = self._all()
        for runner in runners:
            runner.prepare_drain()
        waits = [asyncio.ensure_future(runner.no_results_due.wait()) for runner in runners]
        if waits:
            _, late = await asyncio.wait(waits, timeout=seconds)
            for wait in late:
                wait.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for runner in runners:
            runner.drain()
        await asyncio.gather(*(runner.wait_until_over() for runner in runners))

    def _all(self) -> list[SessionRunner]:
        return [*self._sessions.values(), *self._unauthenticated]

    def _joinable(self, session_id: str) -> SessionRunner | None:
        """The runner of a session, if there is one. Raises SessionEndingError if it can no longer be joined."""
        runner = self._sessions.get(session_id)
        if runner is not None and not runner.phase.is_joinable:
            raise SessionEndingError
        return runner

    async def _belongs_here(self, session_id: str) -> bool:
        """Whether the session still belongs to this gateway.

        Yes if the store is not responding: it accepts no writes for a session that was claimed elsewhere.
        """
        try:
            return await self._context.store.holds(session_id)
        except StoreError:
            return True

    def _count_forgotten(self, _session_id: str, finals: int) -> None:
        self._context.metrics.store.sessions_forgotten.inc()
        self._context.metrics.store.finals_forgotten.inc(finals)

    def _hand_over(self, runner: SessionRunner) -> None:
        log.info("session taken over", session_id=runner.session_id)
        runner.yield_to_other_gateway()

    def _terms_of(self, owner: str, caller: Terms) -> Terms:
        """The terms of a stored session: its owner's. A session without an owner becomes the caller's."""
        if not owner or owner == caller.owner:
            return caller
        return self._context.authenticator.terms_of(owner) or Terms(owner=owner)

    def _create(self, session_id: str, terms: Terms) -> SessionRunner:
        self._make_room(terms)
        runner = SessionRunner(session_id, self._context, self._forget, terms)
        self._add(runner)
        return runner

    def _make_room(self, terms: Terms) -> None:
        """Make room for one more session of an owner. Raises DirectoryFullError, QuotaError.

        An owner at its own limit, or with the most sessions of a full gateway, can only displace its own idle ones: a
        flood by one key ends no session that waits for the client of another.
        """
        if self.draining:
            raise DirectoryFullError
        limit, owned = self._context.config.max_sessions, len(self._owned.get(terms.owner, ()))
        if terms.sessions is not None and owned >= terms.sessions:
            self._end_oldest_idle(terms.owner, QuotaError)
            return
        if len(self._sessions) >= limit:
            largest = max(self._owned, key=lambda owner: len(self._owned[owner]))
            has_most = owned >= len(self._owned[largest])
            self._end_oldest_idle(terms.owner if has_most else largest, DirectoryFullError)
        elif owned >= limit - limit // _RESERVE and self._context.authenticator.owners > 1:
            self._end_oldest_idle(terms.owner, DirectoryFullError)

    def _end_oldest_idle(self, owner: str, refusal: type[DirectoryFullError]) -> None:
        """End the oldest session of an owner that only waits for its client. Raises `refusal` if there is none."""
        idle = next((each for each in self._owned.get(owner, ()) if each.is_idle), None)
        if idle is None:
            raise refusal
        idle.end_grace()

    def _add(self, runner: SessionRunner) -> None:
        self._sessions[runner.session_id] = runner
        self._owned.setdefault(runner.terms.owner, {})[runner] = None
        self._context.metrics.sessions.set(len(self._sessions))

    def _forget(self, runner: SessionRunner) -> None:
        self._unauthenticated.pop(runner, None)
        if self._sessions.get(runner.session_id) is runner:
            del self._sessions[runner.session_id]
        if (owned := self._owned.get(runner.terms.owner)) is not None:
            owned.pop(runner, None)
            if not owned:
                del self._owned[runner.terms.owner]
        self._context.metrics.sessions.set(len(self._sessions))
