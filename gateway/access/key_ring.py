"""The API keys that are valid now: those of the setting `api_keys`, and those of the file `api_keys_file`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import structlog

from gateway.access import key_file
from gateway.access.key_file import KeyFileError, KeyRecord, digest_of, id_of
from gateway.access.terms import Terms

log = structlog.get_logger()

CHECK_S: Final = 1.0
# What the version of a file consists of: another inode, size or time means that it has changed.
_Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A valid key. `id` is empty for a key of the setting `api_keys`; `expires_at` is UNIX seconds, None: never."""

    id: str
    terms: Terms
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class BadKey:
    """A credential that is no valid key. `key_id` names the key it was, if the file knows it."""

    reason: str
    key_id: str | None = None


_NO_KEY: Final[tuple[bytes, ApiKey | None]] = (bytes(32), None)


class KeyRing:
    """The valid keys. `clock`: UNIX seconds. Every key of the setting is an owner of its own."""

    def __init__(self, configured: Sequence[str], path: Path | None, clock: Callable[[], float]) -> None:
        """`path`: the file of keys, which `load` reads."""
        self._configured = tuple((digest_of(key), ApiKey("", Terms(owner=_owner_of(key)))) for key in configured)
        self._configured_owners = {key.terms.owner: key.terms for _, key in self._configured}
        self._path = path
        self._clock = clock
        self._records: Mapping[str, KeyRecord] = {}
        self._keys: Mapping[str, tuple[bytes, ApiKey | None]] = {}  # by id: the digest, and what it is for
        self._by_name: Mapping[str, list[KeyRecord]] = {}  # the newest first
        self._version: _Version | None = None
        self._reported: _Version | None = None
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_empty(self) -> bool:
        """Whether no keys are configured at all, so that access is open. A file without keys admits nobody."""
        return not self._configured and self._path is None

    @property
    def owners(self) -> int:
        """How many owners have a valid key."""
        now = self._clock()
        named = (name for name, records in self._by_name.items() if any(each.is_valid(now) for each in records))
        return len({*self._configured_owners, *named})

    def find(self, credential: str) -> ApiKey | BadKey:
        """The key that a credential is. Compares in constant time."""
        digest = digest_of(credential)
        found: ApiKey | None = None
        for known, key in self._configured:
            if hmac.compare_digest(known, digest):
                found = key
        if found is not None:
            return found
        expected, filed = self._keys.get(id_of(credential) or "", _NO_KEY)
        if not hmac.compare_digest(expected, digest) or filed is None:
            return BadKey("unknown")
        if filed.expires_at is not None and self._clock() >= filed.expires_at:
            return BadKey("expired", filed.id)
        return filed

    def terms_of(self, owner: str) -> Terms | None:
        """The terms of the newest valid key of an owner; None: it has no valid key any more."""
        if (configured := self._configured_owners.get(owner)) is not None:
            return configured
        now = self._clock()
        return next((each.terms for each in self._by_name.get(owner, ()) if each.is_valid(now)), None)

    def holds(self, key: ApiKey) -> bool:
        """Whether a key that was valid still is."""
        if not key.id:
            return True
        record = self._records.get(key.id)
        return record is not None and record.is_valid(self._clock())

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` after each change of the file. Returns a function that ends this."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def load(self) -> None:
        """Read the file. Raises OSError, whose text names the file and the setting."""
        if self._path is None:
            return
        try:
            self._version = _version(self._path)
            records = key_file.read(self._path).keys
        except (OSError, KeyFileError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise OSError(f"api_keys_file, {self._path}: {reason}") from None
        by_name: dict[str, list[KeyRecord]] = {}
        for record in sorted(records, key=lambda each: each.created_at, reverse=True):
            by_name.setdefault(record.name, []).append(record)
        self._records, self._by_name = {record.id: record for record in records}, by_name
        self._keys = {
            each.id: (bytes.fromhex(each.sha256), ApiKey(each.id, each.terms, each.expires_at)) for each in records
        }

    async def watch(self) -> None:
        """Read the file again whenever it changes, for ever. While it cannot be read, the keys stay as they are."""
        while True:
            await asyncio.sleep(CHECK_S)
            self.reload()

    def reload(self) -> None:
        """Read the file again if it has changed, and report if it cannot be read."""
        if self._path is None:
            return
        try:
            version = _version(self._path)
        except OSError:
            version = (0, 0, 0)
        if version in (self._version, self._reported):
            return
        try:
            self.load()
        except OSError as error:
            self._reported = version
            log.error("API keys not read; the earlier ones stay valid", reason=str(error))
            return
        self._reported = None
        log.info("API keys read", keys=len(self._records))
        for listener in list(self._listeners):
            listener()


def _version(path: Path) -> _Version:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=1024)
def _owner_of(key: str) -> str:
    """The name of the owner of a configured key. It is stored and shown, so it must not help to guess a short key."""
    derived = hashlib.scrypt(key.encode("utf-8", "surrogatepass"), salt=b"talkup owner", n=2**14, r=8, p=1, dklen=8)
    return f"key-{derived.hex()}"
