"""The SDKs of other services, which run in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.harness.stack import ROOT

SDK = Path(__file__).parent / "sdk"
PATIENCE_S = 60
RunSdk = Callable[..., list[Any]]


def _python(name: str, command: str) -> Path:
    """The Python of an environment below .cache."""
    folder = ROOT / ".cache" / name
    assert (folder / ".complete").exists(), f"{command} installs what this test drives into .cache/{name}"
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The Python that has the SDKs."""
    return _python("doors", "make test")


@pytest.fixture(scope="session")
def agents_python() -> Path:
    """The Python that has the frameworks for agents."""
    return _python("doors-agents", "make test-doors")


def run_sdk(python: Path, *command: str | Path) -> list[Any]:
    """Run a script with an SDK; the JSON lines that it prints."""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [python, *command], env=environment, capture_output=True, check=False, timeout=PATIENCE_S, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
