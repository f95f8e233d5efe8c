"""The session behind one client of a dialect: the same one that `gateway/connection.py` gives to our own protocol."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from gateway.auth import Principal
from gateway.doors.steps import RefusedError, problem_of
from gateway.outbox import Outbox
from gateway.protocol.actions import ResumeSession
from gateway.protocol.codec import start_problem
from gateway.protocol.errors import CloseCode, Code, Problem
from gateway.protocol.messages import ClientMessage, ErrorMessage, StreamChunk, StreamEnd, StreamStart
from gateway.sessions.context import GatewayContext
from gateway.sessions.directory import DirectoryFullError, QuotaError, SessionDirectory, SessionOverError
from gateway.sessions.runner import SessionRunner
from gateway.store.base import StoreError

_CONGESTION_REPORT_S = 2.0
_SESSION_WAIT_MS = 2_000


def new_stream_id(dialect: str) -> str:
    """A stream's name that no other stream has, even in a session that its token has opened before."""
    return f"{dialect}-{secrets.token_hex(4)}"


class DoorSession:
    """A session, and the door as its peer (`gateway.sessions.runner.Peer`). What it says waits in `outbox`."""

    def __init__(self, runner: SessionRunner, context: GatewayContext, directory: SessionDirectory) -> None:
        self.outbox = Outbox(context.config.outbox_messages, context.config.outbox_bytes, context.clock)
        self._runner = runner
        self._context = context
        self._directory = directory

    @classmethod
    async def open(cls, context: GatewayContext, directory: SessionDirectory, principal: Principal) -> DoorSession:
        """The session of a credential: a new one for an API key. Raises RefusedError."""
        try:
            runner = await directory.open(principal.session_id, principal.terms)
        except QuotaError:
            raise _busy("this key has reached its limit of sessions") from None
        except DirectoryFullError:
            raise _busy("the gateway has reached its session limit") from None
        except SessionOverError:
            raise RefusedError(Problem(Code.SESSION_EXPIRED, "the session is over")) from None
        except StoreError:
            raise _busy("the session store is not responding") from None
        door = cls(runner, context, directory)
        # Clients of a dialect do not know how to resume: a lost socket ends their streams.
        runner.is_resumable = False
        runner.attach(door, not_after=principal.tokens_until)
        return door

    @property
    def session_id(self) -> str:
        """The session's id, under which its transcript can be read."""
        return self._runner.session_id

    @property
    def models(self) -> list[str]:
        """The names of the models that transcribe."""
        services = self._context.status.services()
        return [name for status in services if status.service == "stt" for name in status.models]

    def start(self, start: StreamStart) -> None:
        """Start a stream before the client is answered. Raises RefusedError if it is refused at once."""
        if (problem := start_problem(start)) is not None:
            raise RefusedError(problem)
        known = len(self.outbox.unsent())
        self.receive(start)
        for message in self.outbox.unsent()[known:]:
            if isinstance(message, ErrorMessage):
                raise RefusedError(problem_of(message.data))

    def receive(self, message: ClientMessage) -> bool:
        """Handle what the client said, unless another socket has taken the session over; returns whether it is refused.

        While the gateway drains, it ends the streams itself and accepts no more sound for them.
        """
        is_late = self._directory.draining and isinstance(message, StreamChunk)
        is_heard = self._runner.peer is self and self.outbox.closing is None and not is_late
        return is_heard and self._runner.receive(message)

    def discard(self, stream_id: str) -> None:
        """End a stream at once, because nobody needs it any more."""
        self.receive(StreamEnd(stream_id=stream_id, discard=True))

    @property
    def is_congested(self) -> bool:
        """Whether workers are so far behind that nothing more should be read from the client."""
        return self._runner.congested_stream() is not None

    async def wait_until_writable(self) -> None:
        """Wait while a worker stream of the session is too far behind."""
        if not self.is_congested:
            return
        self._context.metrics.pauses.inc()
        while (stream := self._runner.congested_stream()) is not None:
            self._runner.report_congestion()
            with suppress(TimeoutError):
                async with asyncio.timeout(_CONGESTION_REPORT_S):
                    await stream.wait_writable()

    def leave(self, *, is_clean: bool) -> None:
        """The client is gone, on purpose (`is_clean`) or not: open streams end, and their last words are stored."""
        self.outbox.close(CloseCode.NORMAL, "")
        if self._runner.peer is self:
            self._runner.detach(self, is_clean=is_clean)
            self._runner.end_grace()

    # --- Peer: messages that clients of a dialect do not have

    def authenticate(self, token: str) -> None:
        """See Peer."""

    def resume(self, request: ResumeSession) -> None:
        """See Peer."""


def _busy(text: str) -> RefusedError:
    return RefusedError(Problem(Code.BUSY, text, retry_after_ms=_SESSION_WAIT_MS))
