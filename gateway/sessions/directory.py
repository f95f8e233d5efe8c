"""Every session of this gateway: found by name, begun, bounded in number, ended together at shutdown."""

from __future__ import annotations

import asyncio

import structlog

from gateway.auth import new_session_id
from gateway.protocol.errors import CloseCode
from gateway.sessions.runner import SessionRunner, Tools
from gateway.store.sqlite import StoreError

log = structlog.get_logger()


class DirectoryFullError(Exception):
    """No further session can be held."""


class SessionDeletedError(Exception):
    """The session was deleted on demand and must not come back."""


class SessionDirectory:
    """Owner of all session runners: those that can be joined, by id, and those that only finish their last streams."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._joinable: dict[str, SessionRunner] = {}
        self._all: dict[SessionRunner, None] = {}  # in the order of their beginning
        self.draining = False
        tools.store.watch(self.lose)

    def __len__(self) -> int:
        return len(self._all)

    def waiting_messages(self) -> int:
        """Messages in all outboxes."""
        return sum(len(runner.peer.outbox) for runner in self._all if runner.peer is not None)

    def get(self, session_id: str) -> SessionRunner | None:
        """A session that can be joined."""
        runner = self._joinable.get(session_id)
        return None if runner is None or runner.expired else runner

    def provisional(self) -> SessionRunner:
        """A new session that nobody can join yet: its client has not shown a credential. Raises DirectoryFullError."""
        return self._begin(new_session_id())

    def enter(self, runner: SessionRunner) -> None:
        """Make a provisional session one that can be joined by its id."""
        self._joinable[runner.session_id] = runner

    async def open(self, session_id: str | None) -> SessionRunner:
        """The session of that name, taken up or begun if need be; None: a new one. Raises what `find` raises."""
        if session_id is not None and (known := await self.find(session_id)) is not None:
            return known
        runner = self._begin(session_id or new_session_id())
        self.enter(runner)
        return runner

    async def find(self, session_id: str) -> SessionRunner | None:
        """The session of that name: held here, or taken up where another process left it. None: unknown, or over.

        Raises SessionDeletedError, DirectoryFullError, StoreError.
        """
        known = self.get(session_id)
        if known is not None and await self._still_mine(session_id) and self.get(session_id) is known:
            return known
        if known is not None:
            self.lose(session_id)
        stored = await self._tools.store.claim(session_id)
        if (meanwhile := self.get(session_id)) is not None:
            return meanwhile
        if stored is None:
            return None
        if stored.deleted:
            raise SessionDeletedError
        if stored.closed:
            self._tools.store.release(session_id, closed=True)
            return None
        try:
            runner = self._begin(session_id)
        except DirectoryFullError:
            self._tools.store.release(session_id, closed=False)
            raise
        runner.restore(stored)
        self.enter(runner)
        log.info("session taken up", session_id=session_id, streams=len(stored.streams))
        return runner

    async def _still_mine(self, session_id: str) -> bool:
        """While the store does not answer, yes: it takes no writes of a session that was claimed elsewhere."""
        try:
            return await self._tools.store.holds(session_id)
        except StoreError:
            return True

    def lose(self, session_id: str) -> None:
        """Another gateway has the session now, or it was deleted there: let go of it at once."""
        runner = self._joinable.pop(session_id, None)
        if runner is not None:
            log.info("session lost", session_id=session_id)
            runner.abandon()

    def drop(self, session_id: str) -> None:
        """End a session at once, its text with it: it is being deleted."""
        for runner in [one for one in self._all if one.session_id == session_id]:
            runner.shut(CloseCode.NORMAL, "session deleted")

    def touch(self) -> None:
        """Tell the store which sessions live, so that retention spares them."""
        for session_id in self._joinable:
            self._tools.store.begin_session(session_id)

    async def drain(self, seconds: float) -> None:
        """Take nothing more; await what is due for `seconds` at most, then close all sockets (1012).

        With a store that outlives this process streams stay open, to be resumed elsewhere; else they come to their end.
        """
        self.draining = True
        runners = list(self._all)
        for runner in runners:
            runner.wind_up()
        waits = [asyncio.ensure_future(runner.quiet.wait()) for runner in runners]
        if waits:
            _, late = await asyncio.wait(waits, timeout=seconds)
            for wait in late:
                wait.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for runner in runners:
            runner.shut(CloseCode.RESTART, "the gateway restarts", resumable=self._tools.store.durable)
        await asyncio.gather(*(runner.settled() for runner in runners))

    def _begin(self, session_id: str) -> SessionRunner:
        """A new runner; where there is no room, the oldest one that only waits for a client's return makes some."""
        if self.draining:
            raise DirectoryFullError
        if len(self._all) >= self._tools.config.max_sessions:
            idle = next((runner for runner in self._all if runner.dispensable), None)
            if idle is None:
                raise DirectoryFullError
            idle.expire()
        runner = SessionRunner(session_id, self._tools, self._forget)
        self._all[runner] = None
        self._tools.metrics.sessions.set(len(self._all))
        return runner

    def _forget(self, runner: SessionRunner) -> None:
        self._all.pop(runner, None)
        if self._joinable.get(runner.session_id) is runner:
            del self._joinable[runner.session_id]
        self._tools.metrics.sessions.set(len(self._all))
