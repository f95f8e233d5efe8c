"""Logs: one line per event, a static message with fields. Credentials and speech are removed."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

# Fields that are never logged, whoever passes them.
SECRET_FIELDS: Final = frozenset(
    {"token", "resume_token", "authorization", "api_key", "api_keys", "key", "secret", "token_secret", "password"}
)
PRIVATE_FIELDS: Final = frozenset(
    {"text", "transcript", "words", "payload", "data", "audio", "query", "hotwords", "initial_prompt"}
)
MAX_VALUE_CHARS: Final = 500
MAX_FRAMES: Final = 12
REDACTED: Final = "[redacted]"


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hides credentials and speech, shortens long texts."""
    for name, value in event.items():
        if name.lower() in SECRET_FIELDS or name.lower() in PRIVATE_FIELDS:
            event[name] = REDACTED
        elif isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
            event[name] = value[:MAX_VALUE_CHARS] + "..."
    return event


def replace_exceptions(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: logs the class of an exception and where it was raised, never its text.

    The texts of libraries quote bad input: aiohttp's parser quotes a request line with its token, msgspec a message.
    """
    given = event.pop("exc_info", None)
    error = (
        given if isinstance(given, BaseException) else (sys.exc_info() if given is True else given or (None,) * 3)[1]
    )
    if error is not None:
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        event["trace"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line of asyncio says what no other line says; gateway.admission reports a lack of descriptors."""
    return not record.getMessage().startswith("socket.accept() out of system resource")


def configure(level: str, log_format: str) -> None:
    """Set up structlog and the standard library's logging for this process, on stderr.

    `level` is debug, info, warning or error; `log_format` is json, text or console, which is the same as text. The
    loggers of websockets, aiohttp and asyncio log only warnings and above: at lower levels they print frames and
    request lines, which contain speech and tokens. aiohttp's server logs nothing: it would log the addresses of clients
    whose requests it cannot parse. gateway.http logs the errors of the handlers.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        replace_exceptions,
        redact,
    ]
    renderer: list[structlog.typing.Processor]
    if log_format != "json":
        renderer = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        renderer = [structlog.processors.JSONRenderer()]
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
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_is_news)
