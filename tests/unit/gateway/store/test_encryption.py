"""Encryption at rest: files hold no word of a transcript, keys rotate, and a lost key is an error, not empty text."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from bench.harness.redis_server import running_redis
from gateway.analyses import StoredAnalysis
from gateway.config import GatewayConfig
from gateway.store.base import Store, StreamStart
from gateway.store.encryption import UnreadableTextError
from gateway.store.factory import open_store
from gateway.transcript import Segment, Word
from settings.declaration import from_values
from settings.errors import SettingError
from tests.e2e.gateway_rig import rig

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SAID = Segment(1, "canary sentence", "xx-canary", 0.5, 10, 20, (Word("canary", 10, 15, 0.25),), 3)
STATE = b"canary state"
KEPT = StoredAnalysis("delivery/event/canary/5", b"canary event")
PATIENCE_S = 60.0


def store_of(url: str, **values: str) -> Store:
    return open_store(from_values(GatewayConfig, {"store": url, "token_secret": "s" * 32, **values}))


async def done(write: Future[None]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wrap_future(write)


async def write(store: Store, session_id: str = "s1") -> None:
    store.begin_session(session_id)
    store.begin_stream(StreamStart(session_id, f"key-{session_id}", "abc", started_at=5.0))
    await done(store.add_segment(session_id, f"key-{session_id}", SAID, STATE, [KEPT]))


async def read(store: Store, session_id: str = "s1") -> tuple[Segment, ...]:
    found = await store.transcript(session_id)
    assert found is not None
    return found.streams[0].segments


def bytes_in(folder: Path) -> bytes:
    return b"".join(each.read_bytes() for each in folder.rglob("*") if each.is_file())


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
async def test_the_files_hold_no_word_and_the_key_reads_all(tmp_path: Path, kind: str) -> None:
    with running_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as redis_url:
        url = redis_url if kind == "redis" else f"sqlite:///{tmp_path}/t.db"
        store = store_of(url, store_keys=OLD)
        await store.start()
        try:
            await write(store)
            assert b"fernet" in bytes_in(tmp_path)
            assert b"canary" not in bytes_in(tmp_path)
            assert await read(store) == (SAID,)
            claimed = await store.claim("s1")
            assert claimed is not None
            assert (claimed.streams[0].state, claimed.streams[0].segments) == (STATE, (SAID,))
            assert claimed.streams[0].analyses == (KEPT,)
            later = StoredAnalysis(KEPT.key, b"canary event, its end")
            await done(store.add_analyses("s1", "key-s1", [later]))
            record = await store.record("s1")
            assert record is not None
            assert record.streams[0].analyses == (later,)
            await done(store.end_stream("s1", "key-s1", STATE + b" at the end"))
            assert b"canary" not in bytes_in(tmp_path)
        finally:
            await store.close()


async def test_keys_rotate_and_older_text_stays_readable(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    for keys, session_id in (("", "plain"), (OLD, "old"), (f"{NEW},{OLD}", "new")):
        store = store_of(url, store_keys=keys)
        await store.start()
        await write(store, session_id)
        for earlier in ("plain", "old", "new")[: ("plain", "old", "new").index(session_id) + 1]:
            assert await read(store, earlier) == (SAID,)
        await store.close()
    store = store_of(url, store_keys=NEW)
    await store.start()
    assert await read(store, "new") == (SAID,)
    with pytest.raises(UnreadableTextError):
        await read(store, "old")
    await store.close()


async def test_without_the_key_the_text_is_an_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    store = store_of(url, store_keys=OLD)
    await store.start()
    await write(store)
    await store.close()
    for values in ({}, {"store_keys": NEW}):
        store = store_of(url, **values)
        await store.start()
        with pytest.raises(UnreadableTextError):
            await store.transcript("s1")
        with pytest.raises(UnreadableTextError):
            await store.claim("s1")
        with pytest.raises(UnreadableTextError):
            await store.record("s1")
        await store.close()
    store = store_of(url)
    await store.start()
    assert await store.delete("s1")
    await store.close()


@pytest.mark.parametrize(
    ("content", "problem"),
    [("not a key", "each key must be 32 bytes"), ("", "each key must be 32 bytes"), (OLD[:-8], "each key must be 32")],
    ids=["no key", "empty", "cut off"],
)
def test_a_bad_key_file_is_named_and_not_quoted(tmp_path: Path, content: str, problem: str) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    with pytest.raises(SettingError, match=problem) as refused:
        from_values(GatewayConfig, {"store_key_file": str(file)})
    assert refused.value.setting == "store_key_file"
    assert not content or content not in str(refused.value)


def test_keys_come_from_one_place_and_stay_out_of_repr(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{NEW}\n{OLD}\n")
    config = from_values(GatewayConfig, {"store_key_file": str(file)})
    assert config.encryption_keys == (NEW, OLD)
    assert NEW not in repr(from_values(GatewayConfig, {"store_keys": NEW}))
    with pytest.raises(SettingError, match="set one of them"):
        from_values(GatewayConfig, {"store_key_file": str(file), "store_keys": NEW})
    with pytest.raises(SettingError, match="No such file"):
        from_values(GatewayConfig, {"store_key_file": str(tmp_path / "none")})


async def test_a_client_reads_its_words_and_the_disk_does_not(tmp_path: Path) -> None:
    async with rig(store=f"sqlite:///{tmp_path}/t.db", store_keys=OLD) as at:
        minted = await at.mint()
        client = await at.connect(subprotocols=["talkup.v1", f"bearer.{minted['token']}"])
        await client.start()
        await client.socket.send(b"one1")
        (text,) = await client.finals(1)
        found = await at.transcript(minted["session_id"], lambda body: text in str(body))
        assert found["streams"][0]["segments"][0]["text"] == text
        assert text.encode() not in bytes_in(tmp_path)
        await client.socket.close()
