"""The secret that signs tokens, kept beside the store: after a restart, clients return with tokens of before it."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config import MIN_SECRET_BYTES, GatewayConfig, sqlite_path

_SUFFIX = ".secret"
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class TokenSecret:
    """The secret, and where it comes from in words for the log."""

    value: str = field(repr=False)
    origin: str


def token_secret(config: GatewayConfig) -> TokenSecret:
    """The setting; else the file beside a SQLite store, made at the first start; else one for this process.

    Raises OSError, whose text names the file and the setting.
    """
    if config.token_secret:
        return TokenSecret(config.token_secret, "token_secret")
    if not config.store.startswith("sqlite"):
        return TokenSecret(secrets.token_hex(32), "this process: tokens end with it")
    store = sqlite_path(config.store)
    path = store.with_name(store.name + _SUFFIX)
    try:
        return TokenSecret(_kept(path), str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OSError(f"the secret of the tokens, {path}: {reason}; set token_secret to do without the file") from None


def _kept(path: Path) -> str:
    """The secret in a file, which is made if it is not there. Raises OSError, ValueError for one that is damaged."""
    if not path.exists():
        _make(path)
    with path.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("ascii").strip()
    if len(text) < MIN_SECRET_BYTES:
        raise ValueError(f"it has less than {MIN_SECRET_BYTES} characters")
    return text


def _make(path: Path) -> None:
    """Write a new secret for this user alone. It appears whole or not at all; of two processes, the first one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink()
