"""`python -m gateway keys`: adds, lists and revokes the API keys in a file, and renews the secret of the tokens.

A running gateway reads both files again by itself.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, get_args

import msgspec

from gateway.access import key_file
from gateway.access.key_file import DoorName, KeyFile, KeyFileError, KeyRecord, Service
from gateway.token_secret import rotate
from settings.command_line import load as load_settings
from settings.declaration import Setting, Settings
from settings.errors import ConfigError

PROG: Final = "python -m gateway keys"
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySettings(Settings):
    """Where the keys are, as for the gateway itself."""

    env_prefix: ClassVar[str] = "GATEWAY_"

    api_keys_file: Annotated[Path | None, Setting("file of API keys")] = None


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.time,
) -> str:
    """Run a command; returns what to print. Raises ConfigError, OSError; `--help` prints and raises SystemExit."""
    options = _parser().parse_args(list(arguments))
    if options.command == "rotate-secret":
        try:
            count = rotate(options.path)
        except ValueError as error:
            raise ConfigError(f"{options.path}: {error}") from None
        return f"new tokens are signed with a new secret; {count - 1} older ones are still accepted\n"
    path = options.file or load_settings(KeySettings, [], environment, prog=PROG, description="").api_keys_file
    if path is None:
        raise ConfigError("name the file of keys: --file, or GATEWAY_API_KEYS_FILE")
    try:
        match options.command:
            case "add":
                return _add(path, options, clock())
            case "revoke":
                return _revoke(path, options.ids)
            case _:
                return _list(key_file.read(path), clock(), as_json=options.json)
    except KeyFileError as error:
        raise ConfigError(f"{path}: {error}") from None


def _add(path: Path, options: argparse.Namespace, now: float) -> str:
    key_id, key, digest = key_file.generate()
    terms = ("services", "doors", "rate", "sessions", "streams", "media_minutes", "weight")
    given = {name: value for name in terms if (value := getattr(options, name)) is not None}
    expires_at = None if options.expires is None else int(now + options.expires)
    fields = {
        "id": key_id, "name": options.name, "sha256": digest, "created_at": int(now), "expires_at": expires_at, **given
    }  # fmt: skip
    try:
        record = msgspec.convert(fields, KeyRecord)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from None
    key_file.change(path, lambda before: KeyFile(keys=[*before.keys, record]))
    return f"{key}\n"


def _revoke(path: Path, ids: Sequence[str]) -> str:
    def without(before: KeyFile) -> KeyFile:
        unknown = set(ids) - {record.id for record in before.keys}
        if unknown:
            raise ConfigError(f"no key has the id {', '.join(sorted(unknown))}; nothing was revoked")
        return KeyFile(keys=[record for record in before.keys if record.id not in ids])

    key_file.change(path, without)
    return "".join(f"revoked {key_id}\n" for key_id in ids)


def _list(keys: KeyFile, now: float, *, as_json: bool) -> str:
    if as_json:
        shown: list[dict[str, Any]] = [msgspec.to_builtins(record) for record in keys.keys]
        for each in shown:
            del each["sha256"]
        return msgspec.json.format(msgspec.json.encode(shown), indent=2).decode() + "\n"
    rows = [("ID", "NAME", "CREATED", "EXPIRES", "TERMS"), *(_row(record, now) for record in keys.keys)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip() + "\n"
        for row in rows
    )


def _row(record: KeyRecord, now: float) -> tuple[str, str, str, str, str]:
    expiry = "never" if record.expires_at is None else _moment(record.expires_at)
    if not record.is_valid(now):
        expiry += " (expired)"
    hidden = {"id", "name", "sha256", "created_at", "expires_at"}
    terms = [
        f"{name}={','.join(value) if isinstance(value, list) else f'{value:g}'}"
        for name, value in msgspec.to_builtins(record).items()
        if name not in hidden
    ]
    return record.id, record.name, _moment(record.created_at), expiry, " ".join(terms) or "no limits"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog=PROG, description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--file", type=Path, help="the file of keys (environment: GATEWAY_API_KEYS_FILE)")
    add = commands.add_parser(
        "add", parents=[common], help="make a key and print it: it is shown only here, the file keeps its hash"
    )
    add.add_argument("name", help="the owner; several keys of one name share their sessions and limits")
    add.add_argument(
        "--services", type=_choice_of(Service), metavar="stt,vision,delivery", help="services it may use (all)"
    )
    add.add_argument(
        "--doors",
        type=_choice_of(DoorName),
        metavar="websocket,http,dialects,admin",
        help="where it may be presented (everywhere but admin); admin: it may take workers out of rotation",
    )
    add.add_argument("--rate", type=float, help="sockets, streams and HTTP requests that may begin per second")
    add.add_argument("--sessions", type=int, help="sessions open at once")
    add.add_argument("--streams", type=int, help="streams open at once")
    add.add_argument("--media-minutes", type=float, help="minutes of media per day (UTC)")
    add.add_argument("--weight", type=float, help="its share of the workers, relative to other owners (1)")
    add.add_argument("--expires", type=_duration, metavar="90d", help="how long it is valid, such as 12h or 90d")
    listing = commands.add_parser("list", parents=[common], help="the keys, without the keys themselves")
    listing.add_argument("--json", action="store_true", help="as JSON")
    revoke = commands.add_parser("revoke", parents=[common], help="end keys: their sockets close within seconds")
    revoke.add_argument("ids", nargs="+", metavar="ID", help="as `list` shows it; the second part of a key")
    secret = commands.add_parser("rotate-secret", help="sign new tokens with a new secret; old tokens stay valid")
    secret.add_argument("path", type=Path, metavar="FILE", help="the file next to the store, such as gateway.db.secret")
    return root


def _choice_of(kind: Any) -> Callable[[str], list[str]]:  # noqa: ANN401 - a Literal has no type of its own
    def parse(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        if unknown := set(names) - set(get_args(kind)):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
        return names

    return parse


def _duration(text: str) -> float:
    number, unit = text[:-1], _UNITS.get(text[-1:])
    try:
        duration = timedelta(seconds=float(number) * (unit or 0))
    except (ValueError, OverflowError):
        duration = timedelta()
    if duration <= timedelta():
        raise argparse.ArgumentTypeError("must be a number with m, h or d, such as 90d")
    return duration.total_seconds()
