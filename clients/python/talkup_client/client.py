"""A session with a gateway: a connection that reconnects after a failure, and the streams that run on it."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from talkup_client import backoff, messages
from talkup_client.changes import Change, ConnectionBroken, ConnectionRestored, Listener, ignore
from talkup_client.chunks import Chunk
from talkup_client.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionLostError,
    RefusedError,
    SessionLostError,
    SettingError,
    TalkupError,
    from_error_data,
)
from talkup_client.events import (
    Authenticated,
    AuthExpiring,
    ErrorReceived,
    Message,
    Pong,
    SessionOpened,
    Status,
    parse,
)
from talkup_client.gateways import FINAL_CLOSES, Gateways, await_session, why_closed
from talkup_client.patience import Patience
from talkup_client.questions import Answer, Questions
from talkup_client.renewal import Renew, Renewal
from talkup_client.stream import Stream
from talkup_client.streams import Streams, on_the_wire
from talkup_client.transport import Transport, TransportClosedError

DEFAULT_URL = "ws://localhost:8081/ws"
DEV_KEY = "dev-key"
DEFAULT_CHUNK_BYTES = 16 * 1024
_ASK_AGAIN_S = 0.05
_HASTE_S = 0.25


class Client:
    """An async context manager. `key` is an API key, `token` a session token; give one of them.

    When the gateway says that it expires, the client calls `renew` for a new key, or a new token for the same session.
    `url` may be a list of gateways that share their sessions; the client tries them in turn. If the connection breaks,
    the client tries for up to `resume_s` seconds to reconnect, and resumes the session at whichever gateway answers.
    Your program notices nothing but the delay. `busy_s` bounds how long it waits for a busy gateway. The client reports
    both through `on_change`, which it calls on the event loop. It sends credentials over `ws://` to loopback only,
    unless you set `allow_plaintext`. `traceparent` is the context (W3C) of the trace that your program records; the
    gateway continues it if it records traces. Raises SettingError for invalid parameters.
    """

    def __init__(
        self,
        url: str | Sequence[str] = DEFAULT_URL,
        *,
        key: str | None = None,
        token: str | None = None,
        renew: Renew | None = None,
        ca_file: str | Path | None = None,
        allow_plaintext: bool = False,
        open_timeout_s: float = 10.0,
        resume_s: float = 120.0,
        busy_s: float = 30.0,
        on_change: Listener = ignore,
        traceparent: str | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        if key is not None and token is not None:
            raise SettingError("give a key or a token, not both", field="token")
        self.gateways = Gateways(
            [url] if isinstance(url, str) else list(url),
            credential=key or token,
            ca_file=Path(ca_file) if ca_file is not None else None,
            allow_plaintext=allow_plaintext,
            timeout_s=open_timeout_s,
            traceparent=traceparent,
        )
        self._open_timeout_s = open_timeout_s
        self._resume_s = resume_s
        self._busy_s = busy_s
        self._on_change = on_change
        self._sleep = sleep
        self._rng = rng
        self._transport: Transport | None = None
        self._session: SessionOpened | None = None
        self._streams = Streams()
        self._questions = Questions()
        self._online = asyncio.Event()
        self._sending = asyncio.Lock()
        self._failure: TalkupError | None = None
        self._problem = ""
        self._closing = False
        self._renewal = Renewal(renew, self.gateways, self._notify, open_timeout_s)
        self._renewing: asyncio.Task[None] | None = None
        self._replaces = False  # the client itself broke the connection
        self._reader: asyncio.Task[None] | None = None

    @property
    def session_id(self) -> str:
        """The session's name, under which its transcripts can be read over HTTP."""
        return self._opened().session_id

    @property
    def chunk_bytes(self) -> int:
        """A good size for chunks of a file, within the gateway's limit."""
        return min(DEFAULT_CHUNK_BYTES, self.max_chunk_bytes or DEFAULT_CHUNK_BYTES)

    @property
    def max_chunk_bytes(self) -> int:
        """The largest chunk that the gateway accepts; 0 if it does not say."""
        return self._opened().max_chunk_bytes

    @property
    def online(self) -> bool:
        """Whether the client is connected now."""
        return self._online.is_set() and self._failure is None

    @property
    def failed(self) -> bool:
        """Whether the session is over for good: no new stream can be started."""
        return self._failure is not None

    def patience(self) -> Patience:
        """Retries a busy gateway for up to `busy_s` seconds; for the parameter of `stream`."""
        return Patience(self._busy_s, self._notify, self._sleep, self._rng)

    async def __aenter__(self) -> Self:
        """Connect. Raises AuthenticationError, RefusedError, ConnectionLostError, SettingError or BadAnswerError."""
        first = partial(self.gateways.open_any, self._dispatch)
        self._transport, self._session = await self.patience().until_accepted(first)
        self._online.set()
        self._reader = asyncio.create_task(self._read_until_closed())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Streams that are still open end as by `end`. Safe to call twice."""
        self._closing = True
        if self._transport is not None:
            await self._transport.close()
        for task in (self._renewing, self._reader):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        if self._transport is not None:
            self._transport.abort()  # the reader may have opened a new one meanwhile
        self._fail(self._failure or ConnectionLostError("the client was closed"))

    def abort(self) -> None:
        """Drop the connection without waiting for anything: leaving the context is quick then."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    @asynccontextmanager
    async def stream(
        self,
        *,
        format: str,
        kind: str | None = None,
        services: Sequence[str] | None = None,
        language: str = "auto",
        languages: Sequence[str] = (),
        mode: messages.Mode = "live",
        interim_results: bool = True,
        word_timestamps: bool = True,
        hotwords: Sequence[str] = (),
        initial_prompt: str = "",
        sample_rate: int | None = None,
        channels: int | None = None,
        signals: Sequence[str] = (),
        max_fps: int | None = None,
        every_frame: bool = False,
        started_at: int | None = None,
        patience: Patience | None = None,
    ) -> AsyncIterator[Stream]:
        """Start a stream; leaving the block ends it. `format` is a MIME type of docs/protocol.md.

        `languages`: those to expect, if the `language` is `auto` and may change from segment to segment. `mode` "file":
        a recording is transcribed as fast as the worker can, in long windows and without interims.
        `max_fps` limits the frames per second that vision analyses (1 to 60; None: as many as it can). `every_frame`:
        the source is not live, so vision skips no frame and reads the stream only as fast as it can analyse it.
        `services`: any of "stt", "vision", "delivery"; `signals`: optional signals of the last two. `started_at`: time
        0 of the media in UNIX milliseconds, if the time of arrival does not tell the gateway.
        With `patience`, the client retries while the gateway has no free worker; without it, the refusal is raised at
        once. Raises RefusedError, with `code` and `field`, when the gateway refuses the stream.
        """
        options = messages.StreamOptions(
            format=format,
            kind=kind,
            services=tuple(services) if services is not None else None,
            language=language,
            languages=tuple(languages),
            mode=mode,
            interim_results=interim_results,
            word_timestamps=word_timestamps,
            hotwords=tuple(hotwords),
            initial_prompt=initial_prompt,
            sample_rate=sample_rate,
            channels=channels,
            signals=tuple(signals),
            max_fps=max_fps,
            every_frame=every_frame,
            started_at=started_at,
        )
        begin = partial(self._begin, options)
        stream = await (patience.until_accepted(begin) if patience else begin())
        try:
            yield stream
        except BaseException:
            with suppress(TalkupError):  # the first error is the one to report
                await self._leave(stream, wait=self.online)
            raise
        await self._leave(stream, wait=True)

    async def _begin(self, options: messages.StreamOptions) -> Stream:
        """Start a stream and wait for its acceptance. Raises RefusedError, BadAnswerError, or the session's end."""
        stream = Stream(f"py-{secrets.token_hex(6)}", options, self)
        self._streams.add(stream)
        try:
            await self.deliver(stream, stream.start_message)
            async with asyncio.timeout(self._open_timeout_s + self._resume_s):
                await stream.wait_accepted()
        except BaseException as error:
            # The gateway may still accept the stream, and a stream that nobody ends keeps a worker's slot.
            with suppress(TalkupError):
                await self._leave(stream, wait=self.online)
            if isinstance(error, TimeoutError):
                raise BadAnswerError("the gateway did not answer the start of a stream in time") from None
            raise
        return stream

    async def _leave(self, stream: Stream, *, wait: bool) -> None:
        """End a stream that the program has left; it stays registered until the gateway confirms the end.

        `wait` until the end is sent, or leave sending to the next resumption. Raises what ended the session meanwhile.
        """
        stream.leave()
        if stream.finished or self._failure is not None:
            self._streams.forget(stream)
        elif wait:
            await stream.end()
        else:
            stream.end_on_resumption()

    async def status(self) -> Status:
        """The status of gateway, session and services."""
        answer = await self._ask(Status, messages.text("status", {}))
        assert isinstance(answer, Status)
        return answer

    async def ping(self) -> float:
        """Seconds until the gateway answered."""
        clock = asyncio.get_running_loop().time
        asked = clock()
        await self._ask(Pong, messages.text("ping", {}))
        return clock() - asked

    async def clock_offset(self) -> float:
        """Seconds by which the gateway's clock is ahead of this machine's, give or take half a round trip."""
        asked = time.time()
        answer = await self._ask(Pong, messages.text("ping", {}))
        assert isinstance(answer, Pong)
        there = answer.data.get("server_time_ms")
        if not isinstance(there, int):
            raise BadAnswerError("the gateway's pong carries no time")
        return there / 1000 - (asked + time.time()) / 2

    async def deliver(self, stream: Stream, message: str | Chunk) -> None:
        """Send a message of a stream; for `Stream`, not for programs. The stream keeps a chunk until it is committed.

        Raises TalkupError when the session is lost.
        """
        while True:
            await self._online.wait()
            async with self._sending:
                if not self._online.is_set():
                    continue
                if self._failure is not None:
                    raise self._failure
                if stream.has_repeated(message):
                    return
                assert self._transport is not None
                # If the message is lost with the connection, the resumption sends it again.
                with suppress(TransportClosedError):
                    await self._transport.send(on_the_wire(stream, message))
                return

    async def hasten(self, stream: Stream, message: str) -> None:
        """Send the last message of a stream; for `Stream`, not for programs.

        A gateway that is behind does not read what has been sent to it. Unless the stream ends in a moment, this client
        resumes the session on a new connection, so that the message overtakes everything that waits on the old one.
        Raises TalkupError when the session is lost.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_HASTE_S):
                await self.deliver(stream, message)
                await stream.wait_over()
        if not stream.finished and self.online and self._transport is not None:
            self._replaces = True
            self._transport.abort()

    async def _ask(self, kind: type[Answer], message: str) -> Answer:
        """Ask and return the answer; ask again if the connection breaks first."""
        try:
            async with asyncio.timeout(self._open_timeout_s):
                while True:
                    if (answer := await self._ask_once(kind, message)) is not None:
                        return answer
        except TimeoutError:
            raise ConnectionLostError("the gateway does not answer", retryable=True) from None

    async def _ask_once(self, kind: type[Answer], message: str) -> Answer | None:
        """Ask once; None when the connection broke. Raises what ended the session."""
        await self._online.wait()
        answer: asyncio.Future[Answer] | None = None
        try:
            async with self._sending:
                if self._failure is not None:
                    raise self._failure
                assert self._transport is not None
                answer = self._questions.put(kind)
                await self._transport.send(message)
            return await answer
        except TransportClosedError:
            await asyncio.sleep(_ASK_AGAIN_S)  # let the reader notice the loss
            return None
        except ConnectionLostError:
            if self._failure is not None:
                raise
            return None
        finally:
            if answer is not None:
                answer.cancel()

    async def _read_until_closed(self) -> None:
        try:
            while True:
                try:
                    assert self._transport is not None
                    self._dispatch(parse(await self._transport.receive()))
                except TransportClosedError as closed:
                    await self._reconnect_after(closed)
        except TalkupError as error:
            self._fail(error)

    async def _reconnect_after(self, closed: TransportClosedError) -> None:
        """Reconnect and resume the session after a close. Raises TalkupError when that is impossible."""
        self._online.clear()
        self._questions.fail(ConnectionLostError("the connection broke", retryable=True))
        if self._closing:
            raise ConnectionLostError("the client was closed")
        reason = why_closed(closed)
        self._renewal.is_pending = False
        final = FINAL_CLOSES.get(closed.code)
        if final is AuthenticationError and await self._renewal.fetch() is not None:
            final = None
        if final is not None:
            raise self._failure or final(reason)
        is_replaced, self._replaces = self._replaces, False
        if not self._resume_s and not is_replaced:
            raise ConnectionLostError(reason)
        clock = asyncio.get_running_loop().time
        broken_at = clock()
        if not is_replaced:
            self._notify(ConnectionBroken(reason, self._resume_s))
        await self._resume(reason)
        if not is_replaced:
            self._notify(ConnectionRestored(clock() - broken_at))

    async def _resume(self, reason: str) -> None:
        """Connect and resume within `resume_s`. Raises ConnectionLostError, or the gateway's refusal."""
        self._problem = reason
        try:
            async with asyncio.timeout(self._resume_s or self._open_timeout_s):
                await self._try_to_resume()
        except TimeoutError:
            raise ConnectionLostError(f"gave up after {self._resume_s:g} s: {self._problem}") from None

    async def _try_to_resume(self) -> None:
        attempt, is_renewed = 0, False
        while True:
            await self._sleep(backoff.delay_s(attempt, self._rng))
            attempt += 1
            try:
                self._transport, _ = await self.gateways.open(self._dispatch)
            except ConnectionLostError as error:
                self._problem = error.message
                continue
            except RefusedError as refused:
                if isinstance(refused, AuthenticationError) and not is_renewed:
                    is_renewed = await self._renewal.fetch() is not None
                    if is_renewed:
                        continue
                if not refused.retryable:
                    raise
                continue
            try:
                await self._resume_over(self._transport)
            except (ConnectionLostError, TransportClosedError, TimeoutError):
                self._transport.abort()
                continue
            except RefusedError as refused:
                self._transport.abort()
                if not refused.retryable:
                    raise
                continue
            return

    async def _resume_over(self, transport: Transport) -> None:
        async with self._sending:
            try:
                self._session = await self._request_resume(transport, self._opened().resume_token)
            except AuthenticationError:
                # The token has expired, or the gateway's secret has changed: the credential may still be valid.
                if (credential := self.gateways.credential) is None:
                    raise
                self._session = await self._request_resume(transport, credential)
            states = {state.stream_id: state for state in self._session.streams}
            for message in self._streams.resumed(states):
                await transport.send(message)
            self._online.set()

    async def _request_resume(self, transport: Transport, token: str) -> SessionOpened:
        request = messages.session_resume(self._opened().session_id, token, self._streams.points())
        await transport.send(request)
        async with asyncio.timeout(self._open_timeout_s):
            return await await_session(transport, self._dispatch)

    def _dispatch(self, message: Message | None) -> None:
        match message:
            case None:
                return
            case SessionOpened():
                self._session = message
            case AuthExpiring():
                if self._renewal.is_possible and (self._renewing is None or self._renewing.done()):
                    self._renewing = asyncio.create_task(self._renew())
            case Authenticated():
                self._renewal.is_pending = False
                token, expires_at = message.resume_token, message.resume_expires_at
                self._session = replace(self._opened(), resume_token=token, expires_at=expires_at)
            case Pong() | Status():
                self._questions.answer(message)
            case ErrorReceived():
                self._dispatch_error(message)
            case _:
                self._streams.receive(message)

    def _dispatch_error(self, error: ErrorReceived) -> None:
        problem = from_error_data(error.data)
        if error.stream_id is None and isinstance(problem, AuthenticationError) and self._renewal.is_pending:
            self._renewal.refused(problem.message)
        elif error.stream_id is None and isinstance(problem, AuthenticationError) and self._renewal.is_possible:
            return  # the close frame that follows asks for a new credential
        elif error.stream_id is None and isinstance(problem, AuthenticationError | SessionLostError):
            self._failure = problem  # a close frame follows
        else:
            self._streams.receive_error(error)

    async def _renew(self) -> None:
        """Send a new credential on the open connection, without interrupting streams."""
        credential = await self._renewal.fetch()
        if credential is None:
            return
        async with self._sending:
            if self._transport is None or not self._online.is_set():
                return  # the next connection is opened with it
            self._renewal.is_pending = True
            with suppress(TransportClosedError):
                await self._transport.send(messages.auth(credential))

    def _fail(self, error: TalkupError) -> None:
        """The session is over: raise `error` wherever something waits."""
        self._failure = self._failure or error
        self._streams.fail(self._failure)
        self._questions.fail(self._failure)
        self._online.set()

    def _notify(self, change: Change) -> None:
        """Call the listener outside this client's tasks, so that its errors cannot stop them."""
        asyncio.get_running_loop().call_soon(self._on_change, change)

    def _opened(self) -> SessionOpened:
        if self._session is None:
            raise SettingError("the client is not connected: use `async with Client(...)`")
        return self._session
