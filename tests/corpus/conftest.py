"""Where the real material lies: `--corpus DIR` or the environment variable CORPUS."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--corpus", default=os.environ.get("CORPUS"), help="folder with manifest.jsonl")


@pytest.fixture(scope="session")
def corpus(request: pytest.FixtureRequest) -> Path:
    """The folder with the real material; the test is skipped without one."""
    folder = request.config.getoption("--corpus")
    if not folder:
        pytest.skip("needs real material: --corpus DIR")
    return Path(folder)
