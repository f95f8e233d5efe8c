"""Encryption at rest: a store whose text and states only the holder of a key can read. The door to `cryptography`.

It wraps any store. What a client said and the state that holds recent words become Fernet tokens (AES-128-CBC with
HMAC-SHA256); ids, times and revisions stay readable, because stores look for them. What an analysis is about is
replaced by its HMAC, so that a later one still finds it. The first key encrypts, all keys decrypt. Text from before
encryption was turned on is read as it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from hashlib import sha256
from typing import Final

import msgspec
import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from gateway.analyses import StoredAnalysis
from gateway.store.base import (
    LossReason,
    Store,
    StoredSession,
    StoreError,
    StreamStart,
    ignore_forgotten,
)
from gateway.transcript import Segment, Transcript

log = structlog.get_logger()

# No text begins with this: transcripts hold no control characters.
_MARK: Final = b"\x1afernet:"
_MARK_TEXT: Final = _MARK.decode()


class UnreadableTextError(StoreError):
    """The store holds text that none of the configured keys can decrypt."""


class Cipher:
    """Encrypts with the first key and decrypts with any. Without keys it encrypts nothing."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`: 32 bytes each in URL-safe base64. Raises ValueError for others."""
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        self._name_key = sha256(b"names of analyses\0" + keys[0].encode()).digest() if keys else b""

    def encrypt(self, plain: bytes) -> bytes:
        """The bytes to store."""
        return plain if self._fernet is None else _MARK + self._fernet.encrypt(plain)

    def encrypt_segment(self, segment: Segment) -> Segment:
        """The segment to store: everything that was said is in its `text`."""
        if self._fernet is None:
            return segment
        sealed = self.encrypt(msgspec.msgpack.encode(segment)).decode()
        return Segment(segment.segment_id, sealed, "", 0.0, 0, 0, (), segment.revision)

    def encrypt_analyses(self, stream_key: str, analyses: Sequence[StoredAnalysis]) -> list[StoredAnalysis]:
        """The analyses to store; the same key of the same stream has the same name until the encryption key changes."""
        if self._fernet is None:
            return list(analyses)
        return [
            StoredAnalysis(
                hmac.new(self._name_key, f"{stream_key}/{each.key}".encode(), sha256).hexdigest(),
                self.encrypt(msgspec.msgpack.encode(each)),
            )
            for each in analyses
        ]

    def decrypt_analyses(self, stored: Sequence[StoredAnalysis]) -> tuple[StoredAnalysis, ...]:
        """The analyses that were encrypted. Raises UnreadableTextError."""
        return tuple(
            msgspec.msgpack.decode(self.decrypt(each.data), type=StoredAnalysis)
            if each.data.startswith(_MARK)
            else each
            for each in stored
        )

    def decrypt(self, stored: bytes) -> bytes:
        """The bytes that were encrypted. Raises UnreadableTextError."""
        if not stored.startswith(_MARK):
            return stored
        try:
            if self._fernet is not None:
                return self._fernet.decrypt(stored.removeprefix(_MARK))
        except InvalidToken:
            pass
        log.warning("stored text cannot be read: no key of store_keys fits it")
        raise UnreadableTextError("no key fits the stored text")

    def decrypt_segment(self, stored: Segment) -> Segment:
        """The segment that was encrypted. Raises UnreadableTextError."""
        if not stored.text.startswith(_MARK_TEXT):
            return stored
        return msgspec.msgpack.decode(self.decrypt(stored.text.encode()), type=Segment)

    def decrypt_segments(self, stored: Sequence[Segment]) -> tuple[Segment, ...]:
        """The same for many."""
        return tuple(map(self.decrypt_segment, stored))


class EncryptedStore:
    """A store around another one. See Store."""

    def __init__(self, inner: Store, cipher: Cipher) -> None:
        self._inner = inner
        self._cipher = cipher

    @property
    def durable(self) -> bool:
        """See Store."""
        return self._inner.durable

    @property
    def pending_writes(self) -> int:
        """See Store."""
        return self._inner.pending_writes

    def watch(
        self, lost: Callable[[str, LossReason], None], forgotten: Callable[[str, int], None] = ignore_forgotten
    ) -> None:
        """See Store."""
        self._inner.watch(lost, forgotten)

    async def start(self) -> None:
        """See Store."""
        await self._inner.start()

    async def close(self) -> None:
        """See Store."""
        await self._inner.close()

    async def holds(self, session_id: str) -> bool:
        """See Store."""
        return await self._inner.holds(session_id)

    async def claim(self, session_id: str) -> StoredSession | None:
        """See Store. Raises UnreadableTextError."""
        return self._decrypted(await self._inner.claim(session_id))

    async def owner(self, session_id: str) -> str | None:
        """See Store."""
        return await self._inner.owner(session_id)

    def begin_session(self, session_id: str, owner: str = "") -> Future[None]:
        """See Store."""
        return self._inner.begin_session(session_id, owner)

    async def touch(self, session_ids: Sequence[str]) -> int:
        """See Store."""
        return await self._inner.touch(session_ids)

    def release(self, session_id: str, *, closed: bool) -> Future[None]:
        """See Store."""
        return self._inner.release(session_id, closed=closed)

    def begin_stream(self, stream: StreamStart) -> Future[None]:
        """See Store."""
        return self._inner.begin_stream(stream)

    def add_segment(
        self,
        session_id: str,
        stream_key: str,
        segment: Segment,
        state: bytes | None,
        analyses: Sequence[StoredAnalysis] = (),
    ) -> Future[None]:
        """See Store."""
        sealed = None if state is None else self._cipher.encrypt(state)
        kept = self._cipher.encrypt_analyses(stream_key, analyses)
        return self._inner.add_segment(session_id, stream_key, self._cipher.encrypt_segment(segment), sealed, kept)

    def save_state(
        self, session_id: str, stream_key: str, state: bytes, analyses: Sequence[StoredAnalysis] = ()
    ) -> Future[None]:
        """See Store."""
        kept = self._cipher.encrypt_analyses(stream_key, analyses)
        return self._inner.save_state(session_id, stream_key, self._cipher.encrypt(state), kept)

    def add_analyses(self, session_id: str, stream_key: str, analyses: Sequence[StoredAnalysis]) -> Future[None]:
        """See Store."""
        return self._inner.add_analyses(session_id, stream_key, self._cipher.encrypt_analyses(stream_key, analyses))

    def end_stream(self, session_id: str, stream_key: str, state: bytes) -> Future[None]:
        """See Store."""
        return self._inner.end_stream(session_id, stream_key, self._cipher.encrypt(state))

    async def transcript(self, session_id: str) -> Transcript | None:
        """See Store. Raises UnreadableTextError."""
        found = await self._inner.transcript(session_id)
        if found is None:
            return None
        streams = (
            msgspec.structs.replace(stream, segments=self._cipher.decrypt_segments(stream.segments))
            for stream in found.streams
        )
        return msgspec.structs.replace(found, streams=tuple(streams))

    async def record(self, session_id: str) -> StoredSession | None:
        """See Store. Raises UnreadableTextError."""
        return self._decrypted(await self._inner.record(session_id))

    async def delete(self, session_id: str) -> bool:
        """See Store."""
        return await self._inner.delete(session_id)

    async def sweep(self, retention_s: float) -> int:
        """See Store."""
        return await self._inner.sweep(retention_s)

    def _decrypted(self, found: StoredSession | None) -> StoredSession | None:
        """Raises UnreadableTextError."""
        if found is None:
            return None
        streams = (
            msgspec.structs.replace(
                stream,
                state=self._cipher.decrypt(stream.state),
                segments=self._cipher.decrypt_segments(stream.segments),
                analyses=self._cipher.decrypt_analyses(stream.analyses),
            )
            for stream in found.streams
        )
        return msgspec.structs.replace(found, streams=tuple(streams))
