"""Structured logs on standard error: facts with fields, never speech, media or credentials."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Final

import structlog

SECRET_FIELDS: Final = frozenset(
    {"authorization", "credentials", "hotwords", "key", "payload", "prompt", "resume_state", "text", "token", "tokens",
     "transcript", "words"}
)  # fmt: skip
"""Fields that never reach a log, whoever passes them."""

_HIDDEN: Final = "[hidden]"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """A structlog processor: replaces the values of secret fields, and any bytes."""
    for name, value in event.items():
        if name in SECRET_FIELDS or isinstance(value, bytes | bytearray | memoryview):
            event[name] = _HIDDEN
    return event


def configure(level: str, log_format: str) -> None:
    """Set up structlog and the standard library's logging of this process, `level` as in the settings."""
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=max(_LEVELS[level], logging.WARNING), force=True)
