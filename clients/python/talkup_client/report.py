"""`talkup report`, and `--report` of other commands: fetches the report of a session from the gateway.

The gateway makes the report in each of its forms, in the reader's language, from what it stores of the session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from urllib.parse import quote, urlencode

from talkup_client import status
from talkup_client.errors import BadAnswerError, SettingError, UnwritableFileError
from talkup_client.http_api import HttpApi
from talkup_client.output import try_to_write
from talkup_client.terminal import Terminal

_TYPES = {"json": "application/json", "html": "text/html", "txt": "text/plain"}
_MAKING_S = 60.0
"""The gateway makes a few reports at a time, and that of a long session takes a while."""

SPEECH = ("stt", "delivery")
"""What a stream asks for, so that a report can tell how something was said."""


LANGUAGES = ("en", "fr")
"""Those of a gateway's reports. A wrong one is refused before a recording is transcribed, not after it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `talkup report`."""
    parser.add_argument("session_id", metavar="SESSION")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report to this file, as a page")
    parser.add_argument("--json", action="store_true", help="all figures, as JSON")
    parser.add_argument("--lang", metavar="TAG", help="language of page and text: en or fr")
    parser.add_argument("--compare", metavar="SESSION", help="an earlier session to compare with")


def add_page_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """The options of a command that writes a report of its own session; `what` it is of."""
    parser.add_argument("--report", type=Path, metavar="OUT.html", help=f"write a report of {what}")
    parser.add_argument("--report-lang", choices=LANGUAGES, help="language of that report")


def check_page(arguments: argparse.Namespace) -> None:
    """Find out before the work whether a report that is asked for can be written.

    Raises SettingError, UnwritableFileError.
    """
    if arguments.report is not None:
        check(arguments.report, "--report")
    elif arguments.report_lang is not None:
        raise SettingError("--report-lang goes with --report", field="--report-lang")


async def run_report(api: HttpApi, arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Print a report as text or JSON, or write it to a file as a page.

    Raises UnwritableFileError, SettingError, and as `fetch` does.
    """
    session_id, language, compare = arguments.session_id, arguments.lang, arguments.compare
    if arguments.html is not None:
        check(arguments.html, "--html")
        await save(api, session_id, arguments.html, terminal, language=language, compare=compare)
    if arguments.json:
        text = await fetch(api, session_id, "json", compare=compare)
        terminal.write(json.dumps(json.loads(text), ensure_ascii=False, indent=2) + "\n")
    elif arguments.html is None:
        terminal.write(await fetch(api, session_id, "txt", language=language, compare=compare))
    return status.OK


async def fetch(
    api: HttpApi, session_id: str, form: str, *, language: str | None = None, compare: str | None = None
) -> str:
    """The report of a session as `json`, `html` or `txt`; `language` None: the gateway's own choice.

    `compare`: an earlier session of the same people. Raises the gateway's refusal (SessionLostError for a session that
    is unknown or expired), ConnectionLostError, and BadAnswerError for anything that is not a report.
    """
    choices = {"format": form, "lang": language, "compare": compare}
    query = urlencode({name: value for name, value in choices.items() if value is not None})
    answer = (await api.get(f"/v1/sessions/{quote(session_id, safe='')}/report?{query}", wait_s=_MAKING_S)).checked()
    if answer.headers.get("content-type", "").partition(";")[0].strip() != _TYPES[form] or not answer.text:
        raise BadAnswerError("the answer is not a report")
    return answer.text


def check(path: Path, option: str) -> None:
    """Find out before the work whether a report can be written. Raises SettingError, UnwritableFileError."""
    if path.is_dir() or not path.parent.is_dir():
        raise SettingError(f"{path}: there is no such folder, or it is one", field=option)
    try:
        try_to_write(path)
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror}") from None


async def save(
    api: HttpApi,
    session_id: str,
    path: Path,
    terminal: Terminal,
    *,
    language: str | None = None,
    compare: str | None = None,
) -> None:
    """Write the report of a session as a page. Raises UnwritableFileError, and as `fetch` does."""
    page = await fetch(api, session_id, "html", language=language, compare=compare)
    try:
        await asyncio.to_thread(path.write_text, page, encoding="utf-8")
    except OSError as error:
        raise UnwritableFileError(f"{path} cannot be written: {error.strerror}") from None
    terminal.say(f"report of session {session_id} written to {path}")
