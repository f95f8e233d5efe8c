"""`python -m gateway --check`: what would keep a gateway with these settings from starting, without starting it.

It opens no port, changes no file and calls no worker, so it may run while a gateway serves. It reads the keys of
the identity provider.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

from gateway.access import key_file
from gateway.access.key_file import KeyFileError
from gateway.access.provider_rules import ProviderError
from gateway.certificate_files import authority_fault, chain_fault
from gateway.config import GatewayConfig
from gateway.parts import identity_provider, upstream_config
from gateway.store.base import StoreError
from gateway.store.factory import check_store
from gateway.token_secret import secret_path, token_secret
from gateway.upstream.channel import PlaintextError, check_plaintext
from gateway.upstream.registry import Registry
from settings.errors import SettingError


async def faults(config: GatewayConfig) -> AsyncIterator[SettingError]:
    """Everything that is wrong beyond the settings' own rules, by setting."""
    for name, problem in (*_certificates(config), *_keys(config), *_token_secret(config), *_workers(config)):
        yield config.invalid(name, problem)
    if (provider := identity_provider(config, time.time)) is not None:
        try:
            await provider.load()
        except ProviderError as error:
            yield config.invalid("oidc_jwks_url" if config.oidc_jwks_url else "oidc_issuer", str(error))
    try:
        await check_store(config)
    except StoreError as error:
        yield config.invalid("store", str(error))


def _certificates(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    now = datetime.now(UTC)
    for name, certificate, key in (
        ("tls_cert", config.tls_cert, config.tls_key),
        ("worker_cert", config.worker_cert, config.worker_key),
    ):
        if certificate is not None and key is not None:
            try:
                problem = chain_fault(certificate, key, now)
            except OSError as error:
                problem = f"{error.filename or certificate}: {error.strerror}"
            if problem is not None:
                yield name, problem
    if config.worker_ca is not None:
        try:
            problem = authority_fault(config.worker_ca, now)
        except OSError as error:
            problem = f"{config.worker_ca}: {error.strerror}"
        if problem is not None:
            yield "worker_ca", problem


def _keys(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    path = config.api_keys_file
    if path is None:
        return
    try:
        keys = key_file.read(path).keys
    except (OSError, KeyFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        yield "api_keys_file", f"{path}: {reason}"
        return
    if not config.api_keys and not config.oidc_issuer and not any(record.is_valid(time.time()) for record in keys):
        yield "api_keys_file", f"{path} holds no key that is valid now: nobody could connect"


def _token_secret(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    if config.token_secret or not config.store.startswith("sqlite") or not secret_path(config).exists():
        return  # else the gateway makes the file at its start
    try:
        token_secret(config)
    except OSError as error:
        yield "token_secret", str(error)


def _workers(config: GatewayConfig) -> Iterator[tuple[str, str]]:
    if not (config.stt_workers or config.vision_workers):
        yield "stt_workers", "neither speech nor vision workers are named: the gateway would never be ready"
    tls = upstream_config(config).tls
    for name, targets in (("stt_workers", config.stt_workers), ("vision_workers", config.vision_workers)):
        try:
            for target in Registry(targets).fixed:
                check_plaintext(target, tls)
        except (ValueError, PlaintextError) as error:
            yield name, str(error)
