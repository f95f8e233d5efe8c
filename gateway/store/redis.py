"""The store that several gateways share: Redis or Valkey, the only module that knows the `redis` library.

A session is five keys with one hash tag, so that they live on one node of a cluster: `session` (hash), `streams`
(list of stream records), `states` (hash), `segments` (hash) and `owner`, the lease: the id of the gateway that holds
the session, with an expiry that the holder renews. Each write is one Lua script, atomic by itself, which first looks at
the lease: a gateway whose session was claimed elsewhere can write nothing more of it, however late it learns that.

All keys but the lease expire after the retention time, counted from the last write.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final, TypeVar

import msgspec
import redis.asyncio as redis_client
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.store.base import (
    MAX_PENDING_WRITES,
    LossReason,
    SessionUnknownError,
    StoredSession,
    StoreError,
    StreamStart,
    transcript_of,
)
from gateway.store.redis_records import StreamRecord, keys_of, stored_session
from gateway.store.redis_scripts import CLAIM, DELETE, RELEASE, RENEW, WRITE
from gateway.transcript import Segment, Transcript

log = structlog.get_logger()

T = TypeVar("T")
_Arguments = tuple[str | bytes | int | float, ...]

_BATCH: Final = 128
_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 3.0
_CLOSE_S: Final = 2.0
# After so long a task that was cancelled and goes on is cancelled again.
_CANCEL_S: Final = 0.1
_RETRIES: Final = 5
# Between two tries at a Redis that is away, beside the library's own retries.
_AWAY_S: Final = 0.5
_RENEWALS_PER_LEASE: Final = 4
# How long each batch of touched sessions waits for the writes that are queued.
_TOUCH_YIELDS_S: Final = 1.0
# What a script answers about a session that is no longer this gateway's.
_LOSSES: Final = {b"lost": LossReason.CLAIMED, b"deleted": LossReason.DELETED}


@dataclass(frozen=True, slots=True)
class _Write:
    """One script to run for a session, in the tenure of this gateway that it was queued in.

    `repeated`: it failed before because Redis did not know the session.
    """

    session_id: str
    tenure: int
    script: AsyncScript
    arguments: _Arguments
    done: Future[None]
    repeated: bool = False


@dataclass(slots=True)
class _Tenure:
    """This gateway's hold on a session: a number of its own, and the streams to enter again should Redis forget."""

    number: int
    streams: dict[str, bytes] = field(default_factory=dict)
    reported: bool = False


class RedisStore:
    """Transcripts and sessions in Redis; `retention_s` and `lease_s` in seconds.

    Writes are sent in their order, many at a time, by one task. While Redis does not answer they wait, up to
    MAX_PENDING_WRITES, and are sent again until it does; each can be repeated without harm. Their futures fail when the
    library's retries are used up for the first time, and at once from then on: a client is not kept from its text by a
    Redis that is known to be away.
    """

    durable = True

    def __init__(self, url: str, *, retention_s: float, lease_s: float, clock: Callable[[], float] = time.time) -> None:
        self._retention_ms = int(retention_s * 1000)
        self._lease_s = lease_s
        self._lease_ms = int(lease_s * 1000)
        self._clock = clock
        self._owner = uuid.uuid4().hex
        self._redis = redis_client.Redis.from_url(
            url,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), _RETRIES),
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
        )
        self._write_script = self._redis.register_script(WRITE)
        self._claim_script = self._redis.register_script(CLAIM)
        self._renew_script = self._redis.register_script(RENEW)
        self._release_script = self._redis.register_script(RELEASE)
        self._delete_script = self._redis.register_script(DELETE)
        self._waiting: deque[_Write] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._away = False
        self._mine: dict[str, _Tenure] = {}
        self._tenures = count(1)
        self._lost: Callable[[str, LossReason], None] = lambda _session_id, _reason: None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect. Raises StoreError."""
        await self._ask(self._redis.ping())
        self._tasks = [asyncio.create_task(self._send_writes()), asyncio.create_task(self._renew_leases())]

    async def close(self) -> None:
        """Send what waits, for two seconds at most, and let go of the connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._emptied.wait()
        await asyncio.gather(*map(_stopped, self._tasks))
        self._fail(self._waiting)
        self._waiting.clear()
        await self._redis.aclose()

    def watch(self, lost: Callable[[str, LossReason], None]) -> None:
        """See Store."""
        self._lost = lost

    async def holds(self, session_id: str) -> bool:
        """See Store."""
        question = self._renew_script(keys=keys_of(session_id), args=[self._owner, self._lease_ms])
        return bool(await self._ask(question) == b"ok")

    async def claim(self, session_id: str) -> StoredSession | None:
        """See Store."""
        found = await self._read(session_id, self._owner)
        if found is not None and not found.deleted:
            records = [StreamRecord(each.stream_key, each.stream_id, each.started_at) for each in found.streams]
            streams = {record.stream_key: msgspec.msgpack.encode(record) for record in records}
            self._mine[session_id] = _Tenure(next(self._tenures), streams)
        return found

    def begin_session(self, session_id: str) -> Future[None]:
        """See Store."""
        if session_id not in self._mine:
            self._mine[session_id] = _Tenure(next(self._tenures))
        return self._write(session_id, "session")

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """See Store."""
        arguments = (self._owner, self._retention_ms, "1" if closed else "0")
        done = self._submit(session_id, self._release_script, arguments)
        self._mine.pop(session_id, None)
        return done

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        record = msgspec.msgpack.encode(StreamRecord(stream.stream_key, stream.stream_id, stream.started_at))
        if (tenure := self._mine.get(stream.session_id)) is not None:
            tenure.streams[stream.stream_key] = record
        return self._write(stream.session_id, "stream", stream.stream_key, record)

    def add_segment(self, session_id: str, stream_key: str, segment: Segment, state: bytes | None) -> Future[None]:
        """See Store."""
        kept = msgspec.msgpack.encode(segment)
        return self._write(session_id, "segment", stream_key, segment.segment_id, kept, state or b"")

    def save_state(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """See Store."""
        return self._write(session_id, "state", stream_key, state)

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """See Store."""
        return self._write(session_id, "end", stream_key, state)

    async def transcript(self, session_id: str) -> Transcript | None:
        """See Store."""
        found = await self._read(session_id, "")
        return None if found is None or found.deleted else transcript_of(session_id, found)

    async def delete(self, session_id: str) -> bool:
        """See Store."""
        return bool(await self._ask(self._delete_script(keys=keys_of(session_id), args=[self._retention_ms])))

    async def sweep(self, retention_s: float) -> int:
        """Nothing to do: Redis itself lets keys go when their time is over."""
        return 0

    async def _read(self, session_id: str, owner: str) -> StoredSession | None:
        answer = await self._ask(self._claim_script(keys=keys_of(session_id), args=[owner, self._lease_ms]))
        return stored_session(answer) if answer else None

    async def touch(self, session_ids: Sequence[str]) -> None:
        """See Store: beside the queue of writes, many at a time, and after what waits there."""
        for at in range(0, len(session_ids), _BATCH):
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOUCH_YIELDS_S):
                    await self._emptied.wait()
            arguments = self._write_arguments("session")
            await self._run_for(session_ids[at : at + _BATCH], self._write_script, arguments)

    def _write(self, session_id: str, what: str, *values: str | bytes | int) -> Future[None]:
        return self._submit(session_id, self._write_script, self._write_arguments(what, *values))

    def _write_arguments(self, what: str, *values: str | bytes | int) -> _Arguments:
        return (self._owner, self._lease_ms, self._retention_ms, self._clock(), what, *values)

    def _submit(self, session_id: str, script: AsyncScript, arguments: _Arguments) -> Future[None]:
        tenure = self._mine.get(session_id)
        write = _Write(session_id, 0 if tenure is None else tenure.number, script, arguments, Future())
        if len(self._waiting) >= MAX_PENDING_WRITES:
            write.done.set_exception(StoreError("too many writes are waiting"))
            return write.done
        self._waiting.append(write)
        if self._away:
            self._fail([write])
        self._emptied.clear()
        self._filled.set()
        return write.done

    async def _send_writes(self) -> None:
        while True:
            await self._filled.wait()
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            answered = False
            try:
                answered = await self._send(batch)
            finally:
                if not answered:
                    self._waiting.extendleft(reversed(batch))
                    self._fail(self._waiting)
            if self._away is answered:
                self._away = not answered
                event = "store does not answer" if self._away else "store answers again"
                log.warning(event, writes=len(self._waiting))
            if self._away:
                await asyncio.sleep(_AWAY_S)
            elif not self._waiting:
                self._filled.clear()
                self._emptied.set()

    async def _send(self, batch: Sequence[_Write]) -> bool:
        """Whether Redis answered; then every write of the batch is settled."""
        pipeline = self._redis.pipeline(transaction=False)
        for write in batch:
            await write.script(keys=keys_of(write.session_id), args=write.arguments, client=pipeline)
        try:
            async with pipeline:
                answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError):
            return False
        forgotten: list[_Write] = []
        for write, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                _settle(write, StoreError(f"the store refused a write ({type(answer).__name__})"))
            elif answer in _LOSSES:
                self._let_go(write.session_id, write.tenure, _LOSSES[answer])
                _settle(write, StoreError("the session is not this gateway's"))
            elif answer == b"unknown":
                forgotten.append(write)
                _settle(write, SessionUnknownError("the store does not know the session any more"))
            else:
                _settle(write, None)
        self._waiting.extendleft(reversed(self._repeat(forgotten)))
        return True

    def _repeat(self, forgotten: Sequence[_Write]) -> list[_Write]:
        """Writes that Redis took for an unknown session, as after a restart without its data: once again.

        First each session and its streams are entered again. What was kept before stays lost.
        """
        repeated: list[_Write] = []
        entered: set[str] = set()
        for write in forgotten:
            tenure = self._mine.get(write.session_id)
            if write.repeated or tenure is None or tenure.number != write.tenure:
                continue
            if write.session_id not in entered:
                entered.add(write.session_id)
                repeated += self._entries(write.session_id, tenure)
            repeated.append(replace(write, done=Future(), repeated=True))
        return repeated

    def _entries(self, session_id: str, tenure: _Tenure) -> list[_Write]:
        """The writes that enter a session and its streams."""
        if not tenure.reported:
            tenure.reported = True
            log.warning("store forgot a session, which is entered again", session_id=session_id)
        entries = [self._write_arguments("session")]
        entries += [self._write_arguments("stream", key, record) for key, record in tenure.streams.items()]
        script, number = self._write_script, tenure.number
        return [_Write(session_id, number, script, each, Future(), repeated=True) for each in entries]

    def _fail(self, writes: Iterable[_Write]) -> None:
        for write in writes:
            _settle(write, StoreError("the store does not answer"))

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS_PER_LEASE)
            mine = list(self._mine)
            for at in range(0, len(mine), _BATCH):
                await self._renew(mine[at : at + _BATCH])

    async def _renew(self, session_ids: Sequence[str]) -> None:
        # If Redis does not answer the next round asks again; a session claimed meanwhile takes no writes from here.
        with suppress(StoreError):
            await self._run_for(session_ids, self._renew_script, (self._owner, self._lease_ms))

    async def _run_for(self, session_ids: Sequence[str], script: AsyncScript, arguments: _Arguments) -> None:
        """Run a script for each session that this gateway holds, in one round trip. Raises StoreError."""
        held = {each: self._mine[each].number for each in session_ids if each in self._mine}
        pipeline = self._redis.pipeline(transaction=False)
        for session_id in held:
            await script(keys=keys_of(session_id), args=arguments, client=pipeline)
        async with pipeline:
            answers = await self._ask(pipeline.execute(raise_on_error=False))
        for (session_id, tenure), answer in zip(held.items(), answers, strict=True):
            if answer in _LOSSES:
                self._let_go(session_id, tenure, _LOSSES[answer])

    def _let_go(self, session_id: str, tenure: int, reason: LossReason) -> None:
        """Report a lost session, unless this gateway claimed it again since."""
        held = self._mine.get(session_id)
        if held is not None and held.number == tenure:
            del self._mine[session_id]
            self._lost(session_id, reason)

    async def _ask(self, question: Awaitable[T]) -> T:
        try:
            return await question
        except (RedisError, OSError) as error:
            # The library's text may quote values: only its kind goes on.
            raise StoreError(f"the transcript store failed ({type(error).__name__})") from None


async def _stopped(task: asyncio.Task[None]) -> None:
    """End a task, also where a cancellation got lost.

    Python 3.11's asyncio.wait_for, with which redis-py sends, hides one that comes together with its result (gh-86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_S)


def _settle(write: _Write, error: StoreError | None) -> None:
    """Settle a write once: what was late is not reported again."""
    if write.done.done():
        return
    if error is None:
        write.done.set_result(None)
    else:
        write.done.set_exception(error)
