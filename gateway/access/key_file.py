"""The file of API keys: names, terms and hashes, never a key.

A key is generated here and holds 256 random bits. Nobody can guess such a key from its SHA-256, however fast the hash
is, so a slow hash for passwords would protect nothing and would let a flood of wrong keys cost the gateway its CPU.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from gateway.access.terms import Terms

PREFIX: Final = "tk"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_MAX_FILE_BYTES: Final = 16 * 1024 * 1024

KeyId = Annotated[str, Meta(pattern=r"^[0-9a-f]{12}$")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Service = Literal["stt", "vision", "delivery"]
DoorName = Literal["websocket", "http", "dialects", "admin"]


class KeyFileError(ValueError):
    """The file cannot be read as a file of keys. The text names the field and repeats no value."""


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key at rest. Times are UNIX seconds. The terms are those of `Terms`."""

    id: KeyId
    name: Name
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    created_at: int
    expires_at: int | None = None
    services: Annotated[list[Service], Meta(min_length=1)] | None = None
    doors: Annotated[list[DoorName], Meta(min_length=1)] | None = None
    rate: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    sessions: Annotated[int, Meta(ge=1)] | None = None
    streams: Annotated[int, Meta(ge=1)] | None = None
    media_minutes: Annotated[float, Meta(gt=0)] | None = None
    weight: Annotated[float, Meta(gt=0, le=1000)] = 1.0

    def is_valid(self, now: float) -> bool:
        """Whether the key has not expired."""
        return self.expires_at is None or now < self.expires_at

    @property
    def terms(self) -> Terms:
        """The terms of the key."""
        return Terms(
            owner=self.name,
            services=None if self.services is None else frozenset(self.services),
            doors=None if self.doors is None else frozenset(self.doors),
            rate=self.rate,
            sessions=self.sessions,
            streams=self.streams,
            media_minutes=self.media_minutes,
            weight=self.weight,
        )


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contents of the file."""

    version: Literal[1] = 1
    keys: list[KeyRecord] = []


def digest_of(credential: str) -> bytes:
    """The hash of a key, as the file keeps it."""
    return hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()


def id_of(credential: str) -> str | None:
    """The id that a generated key begins with; None for any other text."""
    parts = credential.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == PREFIX else None


def generate() -> tuple[str, str, str]:
    """A new key: its id, the key itself, and its hash."""
    key_id = secrets.token_hex(_ID_BYTES)
    key = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return key_id, key, digest_of(key).hex()


def read(path: Path) -> KeyFile:
    """The keys in a file. Raises OSError, KeyFileError."""
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise KeyFileError(f"it is larger than {_MAX_FILE_BYTES} bytes")
    try:
        keys = msgspec.json.decode(content, type=KeyFile)
    except msgspec.ValidationError as error:
        raise KeyFileError(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeyFileError("it is not JSON") from None
    if len({record.id for record in keys.keys}) < len(keys.keys):
        raise KeyFileError("two keys have the same id - at `$.keys`")
    return keys


def change(path: Path, edit: Callable[[KeyFile], KeyFile]) -> None:
    """Read the file, edit it and write it for this user alone. Several commands at once lose nothing.

    The file appears whole or not at all, so a gateway never reads half of it. A file that is not there counts as empty.
    Raises OSError, KeyFileError, and what `edit` raises.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        before = read(path) if path.exists() else KeyFile()
        content = msgspec.json.format(msgspec.json.encode(edit(before)), indent=2) + b"\n"
        unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _keep_owner(path, unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _keep_owner(path: Path, unfinished: Path) -> None:
    """Give the new file the owner, group and mode of the old one: an operator may edit the file of a gateway's user."""
    with contextlib.suppress(FileNotFoundError):
        before = path.stat()
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(unfinished, before.st_uid, before.st_gid)
        unfinished.chmod(before.st_mode & 0o640)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock in a file next to this one. The file itself is replaced, so it cannot carry the lock."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
