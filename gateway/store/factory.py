"""Chooses the store that the settings name, and checks it before it is used."""

from __future__ import annotations

import asyncio

from gateway.config import GatewayConfig
from gateway.store.base import Store
from gateway.store.encryption import Cipher, EncryptedStore
from gateway.store.redis import RedisStore
from gateway.store.sqlite import SqliteStore
from gateway.store.sqlite_file import check_file
from gateway.store.sqlite_shared import SharedSqliteStore
from gateway.store_url import sqlite_path


def open_store(config: GatewayConfig) -> Store:
    """The store that `config.store` names, not started yet. The configuration has checked the URL and the keys."""
    store: Store
    if config.store.startswith("redis"):
        store = _redis(config)
    elif config.processes > 1:
        store = SharedSqliteStore(sqlite_path(config.store), token_ttl_s=config.token_ttl_s)
    else:
        path = None if config.store.startswith("memory") else sqlite_path(config.store)
        store = SqliteStore(path, token_ttl_s=config.token_ttl_s)
    return EncryptedStore(store, Cipher(config.encryption_keys))


async def check_store(config: GatewayConfig) -> None:
    """Raise StoreError, which says why, if the store cannot be used now. Changes nothing in it."""
    if config.store.startswith("redis"):
        store = _redis(config)
        try:
            await store.start()
        finally:
            await store.close()
    elif config.store.startswith("sqlite"):
        await asyncio.to_thread(check_file, sqlite_path(config.store))


def _redis(config: GatewayConfig) -> RedisStore:
    return RedisStore(
        config.store, retention_s=config.retention_s, lease_s=config.store_lease_s, token_ttl_s=config.token_ttl_s
    )
