"""The secret that signs tokens: kept next to the store, for this user alone, and never half a file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.config import GatewayConfig
from gateway.token_secret import rotate, token_secret
from settings.declaration import from_values


def config(store: str, **values: str) -> GatewayConfig:
    return from_values(GatewayConfig, {"store": store, **values})


def test_it_is_made_once_and_kept_for_this_user_alone(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/new/gateway.db"
    made = token_secret(config(store))
    path = tmp_path / "new" / "gateway.db.secret"
    assert made.origin == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert token_secret(config(store)) == made
    assert len(made.value) == 64
    assert made.value not in repr(made)
    assert list(path.parent.iterdir()) == [path]
    other = token_secret(config(f"sqlite:///{tmp_path}/other.db"))
    assert other.value != made.value


def test_two_processes_that_start_together_agree(tmp_path: Path) -> None:
    for number in range(20):
        settings = config(f"sqlite:///{tmp_path}/{number}.db")
        with ThreadPoolExecutor(4) as pool:
            found = set(pool.map(token_secret, [settings] * 4))
        assert len(found) == 1


def test_the_setting_wins_and_other_stores_keep_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = token_secret(config(f"sqlite:///{tmp_path}/a.db", token_secret="x" * 32))
    assert (given.value, given.origin) == ("x" * 32, "token_secret")
    first, second = token_secret(config("memory://")), token_secret(config("memory://"))
    assert first.value != second.value
    assert "tokens end with it" in first.origin
    assert list(tmp_path.iterdir()) == []


def test_a_rotation_signs_with_a_new_secret_and_keeps_the_older_ones(tmp_path: Path) -> None:
    settings = config(f"sqlite:///{tmp_path}/a.db")
    first = token_secret(settings)
    assert rotate(tmp_path / "a.db.secret") == 2
    second = token_secret(settings)
    assert second.value != first.value
    assert second.older == (first.value,)
    for _ in range(5):
        rotate(tmp_path / "a.db.secret")
    assert len(token_secret(settings).all) == 4
    assert (tmp_path / "a.db.secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damaged", [b"", b"short\n", b"\xff" * 64])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, damaged: bytes) -> None:
    path = tmp_path / "a.db.secret"
    path.write_bytes(damaged)
    with pytest.raises(OSError, match=r"a\.db\.secret.*token_secret"):
        token_secret(config(f"sqlite:///{tmp_path}/a.db"))
    assert path.read_bytes() == damaged


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"a\.db\.secret.*token_secret"):
        token_secret(config(f"sqlite:///{tmp_path}/file/a.db"))
