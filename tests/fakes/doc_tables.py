"""Tables in the documentation that tests check: between `<!-- name -->` and `<!-- /name -->`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def documented(page: str, name: str) -> list[str]:
    """The rows of a table, without its two lines of heading."""
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", (DOCS / page).read_text(), re.DOTALL)
    assert match is not None, f"docs/{page} has no table {name}"
    return [line for line in match.group(1).splitlines() if line.startswith("|")][2:]


def rows(cells: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table."""
    return ["| " + " | ".join(line) + " |" for line in cells]
