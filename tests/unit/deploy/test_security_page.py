"""docs/security.md: every threat has a control and a test, and the tests exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
PLANNED = "planned"


def rows() -> list[tuple[str, str, str]]:
    """Threat, control and test of each row, without the headings between them."""
    table = re.search(r"<!-- threats -->\n(.*?)<!-- /threats -->", PAGE, re.DOTALL)
    assert table is not None
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[1].strip().splitlines()[2:]]
    assert all(len(each) == 3 for each in cells)
    return [(threat, control, test) for threat, control, test in cells if not threat.startswith("**")]


def exists(test: str) -> bool:
    """Whether `file` or `file::function` is there."""
    path, _, name = test.partition("::")
    file = ROOT / path
    if not file.is_file():
        return False
    functions = {
        node.name
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    return name in functions if name else bool(functions)


@pytest.mark.parametrize(("threat", "control", "test"), rows())
def test_every_threat_has_a_control_and_a_test(threat: str, control: str, test: str) -> None:
    assert threat
    assert control
    assert test == PLANNED or exists(test.strip("`")), test


def test_the_page_is_more_than_a_few_rows() -> None:
    assert len(rows()) > 30


@pytest.mark.parametrize("test", ["tests/nowhere.py::test_x", "tests/unit/deploy/test_security_page.py::test_nothing"])
def test_a_test_that_is_missing_is_noticed(test: str) -> None:
    assert not exists(test)


def test_the_readme_links_the_page() -> None:
    assert "(docs/security.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
