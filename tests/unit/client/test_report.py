"""`talkup report` against small servers: what it asks for, where it writes, and what it says when that fails."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from talkup_client import cli
from talkup_client.errors import (
    BadAnswerError,
    ConnectionLostError,
    SessionLostError,
    SettingError,
    UnwritableFileError,
)
from talkup_client.http_api import HttpApi
from talkup_client.report import add_page_arguments, check, check_page, fetch, run_report
from talkup_client.terminal import Terminal

PAGE = "<!doctype html><p>Größe</p>"
TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "txt": "text/plain; charset=utf-8"}
BODIES = {"json": '{"session_id": "s"}', "html": PAGE, "txt": "Session report s\n"}


class Server:
    """Answers with the body of the form that a request names, or always with the same status, type and body."""

    def __init__(self, always: tuple[int, str, str] | None = None) -> None:
        self.always = always
        self.asked: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split()[1])
        form = next(name for name in TYPES if f"format={name}" in head)
        status, kind, text = self.always or (200, TYPES[form], BODIES[form])
        body = text.encode()
        head = (
            f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode() + body)
        writer.close()
        await writer.wait_closed()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[HttpApi]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            yield HttpApi(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")


def options(*arguments: str) -> argparse.Namespace:
    return cli.parser().parse_args(["report", *arguments])


async def test_by_default_the_report_is_printed_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server()
    async with server.serving() as api:
        assert await run_report(api, options("a/b", "--lang", "fr", "--compare", "c d"), Terminal()) == 0
    assert capsys.readouterr().out == BODIES["txt"]
    assert server.asked == ["/v1/sessions/a%2Fb/report?format=txt&lang=fr&compare=c+d"]


async def test_a_page_goes_to_its_file_and_json_to_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, server = tmp_path / "report.html", Server()
    async with server.serving() as api:
        assert await run_report(api, options("s", "--html", str(page), "--json"), Terminal()) == 0
    printed = capsys.readouterr()
    assert page.read_text(encoding="utf-8") == PAGE
    assert json.loads(printed.out) == {"session_id": "s"}
    assert printed.err == f"talkup: report of session s written to {page}\n"
    assert len(server.asked) == 2


@pytest.mark.parametrize("form", TYPES)
@pytest.mark.parametrize(
    "answer", [(200, "text/css", "x"), (200, "", "x"), (200, "text/html", ""), (404, "text/html", "<h1>nginx</h1>")]
)
async def test_what_is_no_report_is_not_taken_for_one(form: str, answer: tuple[int, str, str]) -> None:
    async with Server(answer).serving() as api:
        with pytest.raises(BadAnswerError):
            await fetch(api, "s", form)


async def test_a_refusal_is_raised_as_the_gateway_says_it() -> None:
    refusal = json.dumps({"error": {"code": "session_expired", "message": "unknown or expired session"}})
    async with Server((404, "application/json", refusal)).serving() as api:
        with pytest.raises(SessionLostError, match="unknown or expired session"):
            await fetch(api, "s", "html")


async def test_without_a_gateway_no_file_is_left(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    async with Server().serving() as api:
        pass
    with pytest.raises(ConnectionLostError):
        await run_report(api, options("s", "--html", str(page)), Terminal())
    assert not page.exists()


def test_a_place_where_no_report_can_go_is_named_before_the_work(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing" / "report.html"):
        with pytest.raises(SettingError, match="no such folder") as raised:
            check(place, "--report")
        assert raised.value.field == "--report"
    with pytest.raises(UnwritableFileError, match="cannot be written"):
        check(Path("/proc/report.html"), "--report")


def test_the_language_of_a_report_goes_with_a_report(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_page_arguments(parser, "a talk")
    with pytest.raises(SettingError) as raised:
        check_page(parser.parse_args(["--report-lang", "fr"]))
    assert raised.value.field == "--report-lang"
    check_page(parser.parse_args(["--report", str(tmp_path / "talk.html"), "--report-lang", "fr"]))
    with pytest.raises(argparse.ArgumentError, match="invalid choice: 'xx'"):
        parser.parse_args(["--report-lang", "xx"])
