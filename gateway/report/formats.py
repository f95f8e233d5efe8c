"""The forms of a report: json for programs, html for people, txt for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from gateway.report import html, text
from gateway.report.document import Report
from gateway.report.texts import DEFAULT_LANGUAGE


def to_json(report: Report, language: str = DEFAULT_LANGUAGE) -> str:
    """Everything, in units and names that do not depend on the language."""
    return msgspec.json.encode(report).decode()


FORMATS: Final[Mapping[str, tuple[str, Callable[[Report, str], str]]]] = {
    "json": ("application/json", to_json),
    "html": ("text/html", html.render),
    "txt": ("text/plain", text.render),
}
"""Content type and writer by name."""


def render(report: Report, format_name: str, language: str = DEFAULT_LANGUAGE) -> tuple[str, str]:
    """Content type and body of a report in one of FORMATS. Raises KeyError for any other name."""
    content_type, write = FORMATS[format_name]
    return content_type, write(report, language)
