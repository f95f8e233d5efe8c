"""The limits of one process: its part of those that are set for the whole gateway."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Final, get_type_hints

from gateway.config import GatewayConfig

DIVIDED: Final = (
    "max_sessions",
    "max_unauthenticated",
    "max_unauthenticated_per_address",
    "max_inbound_bytes",
    "max_http_connections",
    "max_http_per_address",
    "max_wyoming_connections",
    "max_form_spool_bytes",
    "recordings_share",
)
"""Settings that bound all clients together, or all connections of an address: each process has its part of them."""


def divided(config: GatewayConfig) -> GatewayConfig:
    """The settings of one of `config.processes` processes. Counts are rounded up, and never below the minimum."""
    hints = get_type_hints(GatewayConfig, include_extras=True)
    parts: dict[str, float] = {}
    for field in fields(GatewayConfig):
        if field.name in DIVIDED:
            (setting,) = hints[field.name].__metadata__
            whole = getattr(config, field.name)
            is_count = isinstance(whole, int)
            part = -(-whole // config.processes) if is_count else whole / config.processes
            parts[field.name] = max(int(setting.low) if is_count else setting.low, part)
    return replace(config, **parts)  # type: ignore[arg-type]  # each has the type of its setting
