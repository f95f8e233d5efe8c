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


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The Python that has the SDKs."""
    folder = Path(os.environ.get("CACHE", ROOT / ".cache")) / "doors"
    assert (folder / ".complete").exists(), "make test installs the SDKs into .cache/doors"
    return folder / "bin" / "python"


def run_sdk(python: Path, *command: str | Path) -> list[Any]:
    """Run a script with an SDK; the JSON lines that it prints."""
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    done = subprocess.run(
        [python, *command], env=environment, capture_output=True, check=False, timeout=PATIENCE_S, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
