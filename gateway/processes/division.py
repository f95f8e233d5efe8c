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
)
"""Settings that bound all clients together, or all connections of an address: each process has its part of them."""


def divided(config: GatewayConfig) -> GatewayConfig:
    """The settings of one of `config.processes` processes. A part is rounded up, and never below what is allowed."""
    hints = get_type_hints(GatewayConfig, include_extras=True)
    parts: dict[str, int] = {}
    for field in fields(GatewayConfig):
        if field.name in DIVIDED:
            (setting,) = hints[field.name].__metadata__
            parts[field.name] = max(int(setting.low), -(-getattr(config, field.name) // config.processes))
    return replace(config, **parts)  # type: ignore[arg-type]  # all of these are whole numbers
