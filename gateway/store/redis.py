"""The store that several gateways share: Redis or Valkey. The only module that imports the `redis` library.

A session has six keys with one hash tag, which puts them on one node of a cluster: `session` (hash), `streams` (list
of stream records), `states`, `segments` and `analyses` (hashes), and `owner`. `owner` is the lease: the id of the
gateway that owns the session, with an expiry that this gateway renews. Each write is one atomic Lua script, which
checks the lease first. So Redis takes no more writes from a gateway that has lost a session, even if the gateway does
not know it yet.

All keys but the lease expire after the retention time, counted from the last write or renewal.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import msgspec
import redis.asyncio as redis_client
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.analyses import StoredAnalysis
from gateway.store.base import (
    RENEWALS_STOP_AT,
    LossReason,
    SessionUnknownError,
    StoredSession,
    StoreError,
    StreamStart,
    ignore_forgotten,
    transcript_of,
)
from gateway.store.redis_ownership import OwnedStream, Ownership, ownership_of
from gateway.store.redis_queue import BATCH, Arguments, Script, StoreUnavailableError, Write, WriteQueue
from gateway.store.redis_records import StreamRecord, keys_of, stored_session, values_of
from gateway.store.redis_scripts import CLAIM, DELETE, RELEASE, RENEW, WRITE
from gateway.transcript import Segment, Transcript

log = structlog.get_logger()

T = TypeVar("T")

_CONNECT_S: Final = 2.0
_ANSWER_S: Final = 3.0
_CLOSE_S: Final = 2.0
# A task that still runs this long after it was cancelled is cancelled again.
_CANCEL_S: Final = 0.1
_RETRIES: Final = 5
_RENEWALS_PER_LEASE: Final = 4
# How long a renewal of retention waits for the queued writes.
_RENEWAL_PATIENCE_S: Final = 1.0
# Redis refuses a write, but may take it later: it is out of memory, or a failover has made it a replica.
_TEMPORARY: Final = (OutOfMemoryError, ReadOnlyError)
# What the scripts answer about a session that this gateway no longer owns.
_LOSSES: Final = {b"lost": LossReason.CLAIMED, b"deleted": LossReason.DELETED}


class RedisStore:
    """Transcripts and sessions in Redis; `retention_s` and `lease_s` in seconds.

    One task sends the writes in order, many at a time. While Redis takes none, up to MAX_PENDING_WRITES writes wait and
    are sent again; it does no harm to repeat one. Their futures fail once the library's retries are used up, and the
    futures of later writes fail at once until Redis takes writes again, so that no client waits for it.

    If Redis loses its data, the store enters each session again, with its streams, their last states and their ends,
    and repeats the writes that failed. It keeps no finals, so those that Redis had are lost; it reports their number.
    """

    durable = True

    def __init__(
        self,
        url: str,
        *,
        retention_s: float,
        lease_s: float,
        token_ttl_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """The ids of deleted sessions stay for `retention_s` or `token_ttl_s`, whichever is longer."""
        self._retention_ms = int(retention_s * 1000)
        self._mark_ms = int(max(retention_s, token_ttl_s) * 1000)
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
        self._queue = WriteQueue(self._execute, self._handle_answer)
        self._owned: dict[str, Ownership] = {}
        self._on_lost: Callable[[str, LossReason], None] = lambda _session_id, _reason: None
        self._on_forgotten: Callable[[str, int], None] = ignore_forgotten
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def pending_writes(self) -> int:
        """See Store."""
        return len(self._queue)

    async def start(self) -> None:
        """Connect. Raises StoreError."""
        await self._ask(self._redis.ping())
        self._tasks = [asyncio.create_task(self._queue.run()), asyncio.create_task(self._renew_leases())]

    async def close(self) -> None:
        """Send the waiting writes, for two seconds at most, and close the connections."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_S):
                await self._queue.emptied.wait()
        await asyncio.gather(*map(_stop, self._tasks))
        self._queue.fail_all()
        await self._redis.aclose()

    def watch(
        self, lost: Callable[[str, LossReason], None], forgotten: Callable[[str, int], None] = ignore_forgotten
    ) -> None:
        """See Store."""
        self._on_lost = lost
        self._on_forgotten = forgotten

    async def holds(self, session_id: str) -> bool:
        """See Store."""
        question = self._renew_script(keys=keys_of(session_id), args=[self._owner, self._lease_ms])
        return await self._ask(question) not in _LOSSES

    async def claim(self, session_id: str) -> StoredSession | None:
        """See Store."""
        found = await self._read(session_id, self._owner)
        if found is not None and not found.deleted:
            self._owned[session_id] = ownership_of(found)
        return found

    async def owner(self, session_id: str) -> str | None:
        """See Store."""
        key = keys_of(session_id)[0]
        is_deleted, created_at, tenant = await self._ask(self._redis.hmget(key, ["deleted", "created_at", "tenant"]))
        if is_deleted or created_at is None:
            return None
        return tenant.decode() if isinstance(tenant, bytes) else tenant or ""

    def begin_session(self, session_id: str, owner: str = "") -> Future[None]:
        """See Store."""
        ownership = self._owned.setdefault(session_id, Ownership(self._clock(), tenant=owner))
        values = (ownership.created_at, "1" if ownership.is_stored else "0", ownership.tenant)
        return self._write(session_id, "session", *values, confirm=ownership.confirm_session)

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """See Store."""
        arguments = (self._owner, self._retention_ms, "1" if closed else "0")
        return self._submit(session_id, self._owned.pop(session_id, None), self._release_script, arguments)

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        record = msgspec.msgpack.encode(StreamRecord(stream.stream_key, stream.stream_id, stream.started_at))
        if (ownership := self._owned.get(stream.session_id)) is not None:
            ownership.streams.setdefault(stream.stream_key, OwnedStream(record))
        return self._write(stream.session_id, "stream", stream.stream_key, record)

    def add_segment(
        self,
        session_id: str,
        stream_key: str,
        segment: Segment,
        state: bytes | None,
        analyses: Sequence[StoredAnalysis] = (),
    ) -> Future[None]:
        """See Store."""
        encoded = msgspec.msgpack.encode(segment)
        values = (stream_key, segment.segment_id, encoded, state or b"", *values_of(analyses))
        ownership = self._owned.get(session_id)
        confirm = None if ownership is None else partial(ownership.confirm_final, stream_key, state)
        return self._write(session_id, "segment", *values, confirm=confirm)

    def save_state(
        self, session_id: str, stream_key: str, state: bytes, analyses: Sequence[StoredAnalysis] = ()
    ) -> Future[None]:
        """See Store."""
        ownership = self._owned.get(session_id)
        confirm = None if ownership is None else partial(ownership.confirm_state, stream_key, state)
        return self._write(session_id, "state", stream_key, state, *values_of(analyses), confirm=confirm)

    def add_analyses(self, session_id: str, stream_key: str, analyses: Sequence[StoredAnalysis]) -> Future[None]:
        """See Store."""
        return self._write(session_id, "analyses", stream_key, *values_of(analyses))

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """See Store."""
        ownership = self._owned.get(session_id)
        confirm = None if ownership is None else partial(ownership.confirm_state, stream_key, state, has_ended=True)
        return self._write(session_id, "end", stream_key, state, confirm=confirm)

    async def transcript(self, session_id: str) -> Transcript | None:
        """See Store."""
        found = await self._read(session_id, "", with_analyses=False)
        return None if found is None or found.deleted else transcript_of(session_id, found)

    async def record(self, session_id: str) -> StoredSession | None:
        """See Store."""
        found = await self._read(session_id, "")
        return None if found is None or found.deleted else found

    async def delete(self, session_id: str) -> bool:
        """See Store."""
        arguments = [self._mark_ms, "1" if session_id in self._owned else "0"]
        is_deleted = await self._ask(self._delete_script(keys=keys_of(session_id), args=arguments))
        if (ownership := self._owned.pop(session_id, None)) is not None:
            ownership.is_lost = True
        return bool(is_deleted)

    async def touch(self, session_ids: Sequence[str]) -> int:
        """See Store. Bypasses the queue, many sessions at a time, while no write waits in it."""
        for at in range(0, len(session_ids), BATCH):
            if not await self._has_room_for_renewals():
                return len(session_ids) - at
            await self._run_for(session_ids[at : at + BATCH], self._write_script, self._write_arguments("touch"))
        return 0

    async def sweep(self, retention_s: float) -> int:
        """Does nothing: the keys expire in Redis."""
        return 0

    async def _has_room_for_renewals(self) -> bool:
        if len(self._queue) >= RENEWALS_STOP_AT:
            return False
        try:
            async with asyncio.timeout(_RENEWAL_PATIENCE_S):
                await self._queue.emptied.wait()
        except TimeoutError:
            return False
        return True

    async def _read(self, session_id: str, owner: str, *, with_analyses: bool = True) -> StoredSession | None:
        arguments: list[str | int] = [owner, self._lease_ms, "1" if with_analyses else "0"]
        answer = await self._ask(self._claim_script(keys=keys_of(session_id), args=arguments))
        return stored_session(answer) if answer else None

    def _write(
        self, session_id: str, kind: str, *values: str | bytes | float, confirm: Callable[[], None] | None = None
    ) -> Future[None]:
        arguments = self._write_arguments(kind, *values)
        return self._submit(session_id, self._owned.get(session_id), self._write_script, arguments, confirm)

    def _write_arguments(self, kind: str, *values: str | bytes | float) -> Arguments:
        return (self._owner, self._lease_ms, self._retention_ms, kind, *values)

    def _submit(
        self,
        session_id: str,
        ownership: Ownership | None,
        script: Script,
        arguments: Arguments,
        confirm: Callable[[], None] | None = None,
    ) -> Future[None]:
        write = Write(session_id, ownership, script, arguments, Future(), confirm)
        self._queue.append(write)
        return write.done

    async def _execute(self, batch: Sequence[Write]) -> Sequence[object]:
        """Send a batch of writes and return the answers. Raises StoreUnavailableError."""
        pipeline = self._redis.pipeline(transaction=False)
        for write in batch:
            await write.script(keys=keys_of(write.session_id), args=write.arguments, client=pipeline)
        try:
            async with pipeline:
                answers: list[object] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError):
            raise StoreUnavailableError("the store does not answer") from None
        refusal = next((each for each in answers if isinstance(each, _TEMPORARY)), None)
        if refusal is not None:
            # After a failover the address leads to the new primary, but only for new connections.
            await self._redis.connection_pool.disconnect(inuse_connections=False)
            raise StoreUnavailableError(f"the store takes no writes ({type(refusal).__name__})")
        return answers

    def _handle_answer(self, write: Write, answer: object) -> list[Write]:
        """Resolve a write. Returns the writes that have to follow it before all others."""
        if write.is_entry and write.ownership is not None:
            write.ownership.is_entering = False
        match answer:
            case Exception():
                write.resolve(StoreError(f"the store refused a write ({type(answer).__name__})"))
            case b"lost" | b"deleted":
                self._lose(write.session_id, write.ownership, _LOSSES[answer])
                write.resolve(StoreError("this gateway does not own the session"))
            case b"unknown" | b"unknown_stream":
                write.resolve(SessionUnknownError("the store does not know the session or the stream"))
                return self._repeat(write, is_session_lost=answer == b"unknown")
            case _:
                if write.confirm is not None:
                    write.confirm()
                write.resolve(None)
        return []

    def _repeat(self, write: Write, *, is_session_lost: bool) -> list[Write]:
        """The entry of a session that Redis does not know, unless it is queued, and the write once again."""
        ownership = write.ownership
        if ownership is None or ownership.is_lost:
            return []
        writes = self._enter_again(write.session_id, ownership, is_session_lost=is_session_lost)
        # A release must not end a later ownership of the same session.
        is_outdated = write.script is self._release_script and write.session_id in self._owned
        if not write.is_repeated and not is_outdated:
            writes.append(replace(write, done=Future(), is_repeated=True))
        return writes

    def _enter_again(self, session_id: str, ownership: Ownership, *, is_session_lost: bool) -> list[Write]:
        """The write that enters a session with its streams; none if one is queued. Reports a loss of data once."""
        if is_session_lost and ownership.is_stored:
            log.warning("store lost a session; entering it again", session_id=session_id, finals=ownership.finals)
            self._on_forgotten(session_id, ownership.finals)
            ownership.is_stored = False
            ownership.finals = 0
        if ownership.is_entering:
            return []
        ownership.is_entering = True
        arguments = self._write_arguments("enter", *ownership.entry())
        confirm = ownership.confirm_session
        return [Write(session_id, ownership, self._write_script, arguments, Future(), confirm, True, True)]

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s / _RENEWALS_PER_LEASE)
            owned = list(self._owned)
            for at in range(0, len(owned), BATCH):
                await self._renew(owned[at : at + BATCH])

    async def _renew(self, session_ids: Sequence[str]) -> None:
        # After a failure the next round asks again. Redis refuses the writes if another gateway claims the session.
        with suppress(StoreError):
            await self._run_for(session_ids, self._renew_script, (self._owner, self._lease_ms))

    async def _run_for(self, session_ids: Sequence[str], script: Script, arguments: Arguments) -> None:
        """Run a script for each session that this gateway owns, in one round trip. Raises StoreError."""
        asked = {each: self._owned[each] for each in session_ids if each in self._owned}
        entries = [ownership.entries for ownership in asked.values()]
        pipeline = self._redis.pipeline(transaction=False)
        for session_id in asked:
            await script(keys=keys_of(session_id), args=arguments, client=pipeline)
        async with pipeline:
            answers = await self._ask(pipeline.execute(raise_on_error=False))
        for (session_id, ownership), answer, count in zip(asked.items(), answers, entries, strict=True):
            if answer in _LOSSES:
                self._lose(session_id, ownership, _LOSSES[answer])
            elif answer == b"unknown" and ownership.is_stored and ownership.entries == count:
                self._queue.put_first(self._enter_again(session_id, ownership, is_session_lost=True))
        if (refused := next((each for each in answers if isinstance(each, Exception)), None)) is not None:
            raise StoreError(f"the store refused a renewal ({type(refused).__name__})")

    def _lose(self, session_id: str, ownership: Ownership | None, reason: LossReason) -> None:
        """Report a lost session, unless this gateway has claimed it again since."""
        if ownership is not None:
            ownership.is_lost = True
        if ownership is not None and self._owned.get(session_id) is ownership:
            del self._owned[session_id]
            self._on_lost(session_id, reason)

    async def _ask(self, question: Awaitable[T]) -> T:
        try:
            return await question
        except (RedisError, OSError) as error:
            # The library's text may quote values, so only the name of the error is passed on.
            raise StoreError(f"the transcript store failed ({type(error).__name__})") from None


async def _stop(task: asyncio.Task[None]) -> None:
    """Cancel a task until it ends.

    redis-py sends with asyncio.wait_for, which in Python 3.11 hides a cancellation that arrives together with its
    result (gh-86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_S)
