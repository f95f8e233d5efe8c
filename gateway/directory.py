"""Every session of this gateway: found by name, begun, bounded in number, ended together at shutdown."""

from __future__ import annotations

import asyncio

from gateway.auth import new_session_id
from gateway.protocol.errors import CloseCode
from gateway.runner import SessionRunner, Tools


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

    def open(self, session_id: str | None) -> SessionRunner:
        """The session of that name, begun if need be; None: a new one.

        Raises SessionDeletedError, DirectoryFullError.
        """
        if session_id is not None:
            if self._tools.store.is_deleted(session_id):
                raise SessionDeletedError
            known = self.get(session_id)
            if known is not None:
                return known
        runner = self._begin(session_id or new_session_id())
        self.enter(runner)
        return runner

    def drop(self, session_id: str) -> None:
        """End a session at once, its text with it: it is being deleted."""
        for runner in [one for one in self._all if one.session_id == session_id]:
            runner.shut(CloseCode.NORMAL, "session deleted")

    def touch(self) -> None:
        """Tell the store which sessions live, so that retention spares them."""
        for session_id in self._joinable:
            self._tools.store.begin_session(session_id)

    async def drain(self, seconds: float) -> None:
        """Take nothing more; let every stream come to its last word for `seconds`, then close all sockets (1012)."""
        self.draining = True
        runners = list(self._all)
        for runner in runners:
            runner.end_streams()
        waits = [asyncio.ensure_future(runner.idle.wait()) for runner in runners]
        if waits:
            _, late = await asyncio.wait(waits, timeout=seconds)
            for wait in late:
                wait.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for runner in runners:
            runner.shut(CloseCode.RESTART, "the gateway restarts")
        await asyncio.gather(*(runner.settled() for runner in runners))

    def _begin(self, session_id: str) -> SessionRunner:
        """A new runner; where there is no room, the oldest one that only waits for a client's return makes some."""
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
