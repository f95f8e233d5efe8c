"""The examples of the README and of other pages, by the name in the comment before each."""

from __future__ import annotations

import re

from bench.harness.stack import ROOT


def example(name: str, page: str = "README.md") -> str:
    """The code block that follows `<!-- NAME -->`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, f"{page} has no example named {name}"
    return found.group(1)
