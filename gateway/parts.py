"""The gateway's settings as its parts take them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from talkup.v1 import task_pb2

from gateway.access.identity_provider import DEMAND_S, IdentityProvider, Pace
from gateway.access.provider_fetch import fetch
from gateway.access.provider_rules import Rules
from gateway.config import GatewayConfig
from gateway.protocol.limits import Limits
from gateway.upstream.config import BufferBounds, Deadlines, Links, Probing, RetryPolicy, TlsSettings, UpstreamConfig


def upstream_config(config: GatewayConfig) -> UpstreamConfig:
    """The settings of the upstream side."""
    names = {
        task_pb2.SERVICE_TYPE_STT: config.stt_worker_name,
        task_pb2.SERVICE_TYPE_VISION: config.vision_worker_name,
    }
    return UpstreamConfig(
        endpoints={
            task_pb2.SERVICE_TYPE_STT: config.stt_workers,
            task_pb2.SERVICE_TYPE_VISION: config.vision_workers,
        },
        names={service: name for service, name in names.items() if name},
        tls=TlsSettings(config.worker_ca, config.worker_cert, config.worker_key, config.worker_plaintext),
        worker_token=config.worker_token or None,
        use_proxy=config.worker_proxy,
        links=Links(config.worker_links),
        deadlines=Deadlines(
            connect=config.worker_connect_s,
            admit=config.worker_admit_s,
            recover=config.worker_recover_s,
            stall=config.worker_stall_s,
            hung=config.worker_hung_s,
            finish=config.worker_finish_s,
            stream=config.worker_stream_s,
        ),
        retry=RetryPolicy(
            attempts=config.worker_attempts, strikes=config.worker_strikes, eject_last=config.worker_eject_s
        ),
        buffer=BufferBounds(
            replay_bytes=config.replay_bytes,
            replay_seconds=config.replay_s,
            high_ms=config.worker_behind_ms,
            low_ms=config.worker_behind_ms // 4,
        ),
        probing=Probing(resolve=config.worker_resolve_s),
    )


def protocol_limits(config: GatewayConfig) -> Limits:
    """The settings of the protocol core."""
    defaults = Limits()
    return Limits(
        max_message_bytes=config.max_message_bytes,
        max_unauthenticated_bytes=min(config.max_unauthenticated_bytes, config.max_message_bytes),
        max_control_bytes=config.max_control_bytes,
        max_chunk_bytes=min(defaults.max_chunk_bytes, config.max_message_bytes),
        max_stream_media_ms=int(config.worker_stream_s * 1000),
        auth_timeout=config.auth_timeout_s,
    )


def identity_provider(config: GatewayConfig, clock: Callable[[], float]) -> IdentityProvider | None:
    """The identity provider of the settings, if there is one. `clock`: UNIX seconds."""
    if not config.oidc_issuer:
        return None
    return IdentityProvider(
        Rules(
            config.oidc_issuer,
            config.oidc_audience,
            config.oidc_algorithms,
            config.oidc_owner_claim,
            config.oidc_scope,
        ),
        partial(fetch, authority=config.oidc_ca),
        clock,
        time.monotonic,
        keys_url=config.oidc_jwks_url,
        pace=Pace(config.oidc_refresh_s, min(DEMAND_S, config.oidc_refresh_s)),
    )
