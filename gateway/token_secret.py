"""The secrets that sign tokens, kept next to the store: after a restart, clients return with older tokens.

The newest secret signs. Older ones still verify, so a secret can be replaced while clients hold tokens that it signed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import MIN_SECRET_BYTES, GatewayConfig
from gateway.store_url import sqlite_path

_SUFFIX = ".secret"
_MAX_BYTES = 4096
_KEPT_SECRETS = 4


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """The secret that signs, where it comes from in words for the log, and older secrets, the newest first."""

    value: str = field(repr=False)
    origin: str
    older: tuple[str, ...] = field(default=(), repr=False)

    @property
    def all(self) -> tuple[str, ...]:
        """Every secret, the one that signs first."""
        return (self.value, *self.older)


def token_secret(config: GatewayConfig) -> TokenSecret:
    """The setting; else the file next to a SQLite store, made at the first start; else one for this process.

    Raises OSError, whose text names the file and the setting.
    """
    if config.token_secret:
        return TokenSecret(config.token_secret, "token_secret", config.token_secrets_older)
    if not config.store.startswith("sqlite"):
        return TokenSecret(secrets.token_hex(32), "this process: tokens end with it")
    path = secret_path(config)
    try:
        newest, *older = _kept(path)
        return TokenSecret(newest, str(path), (*older, *config.token_secrets_older))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OSError(f"the secret of the tokens, {path}: {reason}; set token_secret to do without the file") from None


def secret_path(config: GatewayConfig) -> Path:
    """The file of the secrets next to a SQLite store."""
    store = sqlite_path(config.store)
    return store.with_name(store.name + _SUFFIX)


def rotate(path: Path) -> int:
    """Put a new secret before the ones in the file. Returns how many the file then has.

    Raises OSError, ValueError for a file that is damaged.
    """
    secrets_now = (secrets.token_hex(32), *(_kept(path) if path.exists() else ()))[:_KEPT_SECRETS]
    unfinished = _written(path, secrets_now)
    unfinished.replace(path)
    return len(secrets_now)


def _kept(path: Path) -> list[str]:
    """The secrets in a file, which is made if it is not there. Raises OSError, ValueError for one that is damaged."""
    if not path.exists():
        _make(path)
    with path.open("rb") as file:
        lines = file.read(_MAX_BYTES).decode("ascii").split()
    if not lines or min(map(len, lines)) < MIN_SECRET_BYTES:
        raise ValueError(f"a secret has less than {MIN_SECRET_BYTES} characters")
    return lines


def _make(path: Path) -> None:
    """Write a new secret. It appears whole or not at all; of two processes, the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = _written(path, [secrets.token_hex(32)])
    try:
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()


def _written(path: Path, values: Sequence[str]) -> Path:
    """A file next to `path` that only this user may read, with these secrets."""
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write("".join(f"{value}\n" for value in values).encode())
        file.flush()
        os.fsync(file.fileno())
    return unfinished
