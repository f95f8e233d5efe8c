"""Logs: one line an event, static messages with fields; what must not be told is cut out here."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

# Names of fields that never reach a log, whoever hands them over.
SECRET_FIELDS: Final = frozenset(
    {"token", "resume_token", "authorization", "api_key", "api_keys", "key", "secret", "token_secret", "password"}
)
PRIVATE_FIELDS: Final = frozenset(
    {"text", "transcript", "words", "payload", "data", "audio", "query", "hotwords", "initial_prompt"}
)
MAX_VALUE_CHARS: Final = 500
REDACTED: Final = "[redacted]"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides credentials and speech, shortens long texts."""
    for name, value in event.items():
        if name.lower() in SECRET_FIELDS or name.lower() in PRIVATE_FIELDS:
            event[name] = REDACTED
        elif isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
            event[name] = value[:MAX_VALUE_CHARS] + "..."
    return event


def configure(level: str, log_format: str) -> None:
    """Set up structlog and the standard library's logging for this process, on stderr.

    `level` is debug, info, warning or error; `log_format` json or console. The loggers of websockets, aiohttp and
    asyncio are kept to warnings: at lower levels they print frames and request lines, which carry speech and tokens.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    renderer: list[structlog.typing.Processor]
    if log_format == "console":
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        renderer = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    bare = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=bare, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in ("websockets", "aiohttp", "asyncio"):
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
