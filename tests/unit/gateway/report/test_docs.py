"""docs/report.md names every field of a report, and its commands are commands."""

from __future__ import annotations

import re
import shlex

import msgspec
from talkup_client import cli

from bench.harness.stack import ROOT
from gateway.report.document import Face, Report, ReportStream, Speaker, Turns
from gateway.report.texts import LANGUAGES
from tests.fakes.doc_tables import documented

TEXT = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")
ROWS = [row.split("|")[1:3] for row in documented("report.md", "report-fields")]


def fields(struct: type[msgspec.Struct]) -> set[str]:
    return set(struct.__struct_fields__)


def holds(field: str) -> str:
    """What the table says of a field."""
    return next(text for names, text in ROWS if f"`{field}`" in names)


def test_every_field_of_a_report_is_documented() -> None:
    assert {name for names, _ in ROWS for name in re.findall(r"`(\w+)`", names)} == fields(Report)
    for field, struct in (("streams", ReportStream), ("speakers", Speaker), ("faces", Face), ("turns", Turns)):
        assert fields(struct) - {"stream"} <= set(re.findall(r"`(\w+)`", holds(field)))


def test_the_commands_are_commands() -> None:
    shown = re.search(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    assert shown is not None
    commands = [shlex.split(line, comments=True)[1:] for line in shown[1].splitlines()]
    assert {command[0] for command in commands} == {"transcribe", "analyze", "report"}
    for command in commands:
        assert cli.parser().parse_args(command).command == command[0]


def test_the_languages_are_documented() -> None:
    assert LANGUAGES == ("en", "fr")
    assert "Texts are in English and French" in TEXT
