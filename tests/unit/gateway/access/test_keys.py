"""API keys in a file: made, listed and revoked by the command, and read again by a gateway that runs."""

from __future__ import annotations

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import key_commands
from gateway.__main__ import main
from gateway.access import key_file
from gateway.access.key_ring import ApiKey, BadKey, KeyRing
from gateway.access.terms import Door, Terms
from gateway.access.tokens import Audience, Tokens
from gateway.auth import Authenticator, AuthError
from settings.errors import ConfigError


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "keys.json"


def add(path: Path, clock: Clock, *arguments: str) -> str:
    return key_commands.run(["add", "--file", str(path), *arguments], {}, clock).strip()


def ring(path: Path, clock: Clock) -> KeyRing:
    keys = KeyRing([], path, clock)
    keys.load()
    return keys


def test_a_key_is_shown_once_and_kept_as_a_hash(path: Path, clock: Clock) -> None:
    key = add(path, clock, "backend", "--services", "stt", "--rate", "5", "--streams", "2", "--expires", "2h")
    found = ring(path, clock).find(key)
    assert isinstance(found, ApiKey)
    assert found.terms == Terms(owner="backend", services=frozenset({"stt"}), rate=5.0, streams=2)
    assert found.expires_at == 1_007_200
    assert key not in path.read_text()
    assert key.split("_", 2)[2] not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listed = key_commands.run(["list", "--file", str(path)], {}, clock)
    assert "backend" in listed
    assert "services=stt rate=5 streams=2" in listed
    shown = json.loads(key_commands.run(["list", "--json"], {"GATEWAY_API_KEYS_FILE": str(path)}, clock))
    assert "sha256" not in shown[0]


def test_only_the_whole_key_is_accepted_until_it_expires(path: Path, clock: Clock) -> None:
    key = add(path, clock, "backend", "--expires", "1h")
    keys = ring(path, clock)
    for wrong in (key[:-1], key + "x", key.upper(), key.replace(key.split("_")[1], "0" * 12), "tk_", "tk__", ""):
        assert keys.find(wrong) == BadKey("unknown")
    clock.now += 3600.0
    assert keys.find(key) == BadKey("expired", key.split("_")[1])
    assert keys.terms_of("backend") is None


def test_commands_at_the_same_time_lose_no_key(path: Path, clock: Clock) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = set(pool.map(lambda number: add(path, clock, f"owner-{number}"), range(20)))
    keys = ring(path, clock)
    assert len(made) == 20
    assert all(isinstance(keys.find(key), ApiKey) for key in made)
    assert keys.owners == 20


def test_a_running_gateway_follows_the_file(path: Path, clock: Clock) -> None:
    old = add(path, clock, "backend")
    keys = ring(path, clock)
    tokens = Authenticator(keys, Tokens(["s" * 32], 60.0, clock), clock)
    changes: list[None] = []
    forget = keys.on_change(lambda: changes.append(None))
    holder = tokens.check(old, Door.HANDSHAKE)
    token = tokens.mint("abc", Audience.SESSION, holder.terms).token
    new = add(path, clock, "backend")
    keys.reload()
    assert tokens.check(new, Door.HANDSHAKE).may_use("abc", holder.terms.owner)
    key_commands.run(["revoke", "--file", str(path), old.split("_")[1]], {}, clock)
    keys.reload()
    with pytest.raises(AuthError):
        tokens.check(old, Door.HANDSHAKE)
    assert not tokens.is_valid(holder)
    assert tokens.check(token, Door.HANDSHAKE).session_id == "abc"  # its owner still has a key
    key_commands.run(["revoke", "--file", str(path), new.split("_")[1]], {}, clock)
    keys.reload()
    with pytest.raises(AuthError, match="no longer valid"):
        tokens.check(token, Door.HANDSHAKE)
    assert not tokens.open_access
    assert len(changes) == 3
    forget()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not JSON"),
        ('{"keys": [{}]}', r"\$\.keys\[0\]"),
        ('{"keys": [{"id": "0", "name": "a", "sha256": "0", "created_at": 1}]}', r"\$\.keys\[0\]\.id"),
        ('{"version": 2}', r"\$\.version"),
    ],
)
def test_a_damaged_file_is_named_and_changes_nothing(path: Path, clock: Clock, content: str, says: str) -> None:
    key = add(path, clock, "backend")
    keys = ring(path, clock)
    path.write_text(content)
    with capture_logs() as logs:
        keys.reload()
        keys.reload()
    assert isinstance(keys.find(key), ApiKey)
    assert len(logs) == 1
    assert "api_keys_file" in logs[0]["reason"]
    with pytest.raises(ConfigError, match=says):
        add(path, clock, "another")
    assert path.read_text() == content
    with pytest.raises(OSError, match="api_keys_file"):
        ring(path, clock)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "two words"], r"\$\.name"),
        (["add", "a", "--rate", "0"], r"\$\.rate"),
        (["add", "a", "--streams", "-1"], r"\$\.streams"),
        (["revoke", "0123456789ab"], "no key has the id"),
    ],
)
def test_a_wrong_argument_is_named(path: Path, clock: Clock, arguments: list[str], says: str) -> None:
    add(path, clock, "backend")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=says):
        key_commands.run([*arguments, "--file", str(path)], {}, clock)
    assert path.read_bytes() == before


def test_the_command_of_the_gateway(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "add", "backend", "--file", str(path)]) == 0
    assert key_file.id_of(capsys.readouterr().out.strip()) is not None
    assert main(["keys", "revoke", "0" * 12, "--file", str(path)]) == 2
    assert capsys.readouterr().err.startswith("gateway: no key has the id")
    assert main(["keys", "list", "--file", str(path.with_name("none.json"))]) == 1
    assert "none.json" in capsys.readouterr().err


def test_the_terms_of_a_key_hold_at_its_doors(path: Path, clock: Clock) -> None:
    key = add(path, clock, "minter", "--doors", "http")
    authenticator = Authenticator(ring(path, clock), Tokens(["s" * 32], 60.0, clock), clock)
    assert authenticator.check_key(key).terms.owner == "minter"
    for door in (Door.HANDSHAKE, Door.MESSAGE, Door.RESUME):
        with pytest.raises(AuthError, match="websocket") as refused:
            authenticator.check(key, door)
        assert refused.value.is_forbidden
