"""`make test-corpus` finds this project's tests, wherever the material lies."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.harness.stack import ROOT, child_environment


@pytest.mark.parametrize("inside", [True, False])
def test_the_corpus_option_is_known_to_pytest(tmp_path: Path, inside: bool) -> None:
    """pytest takes a bare folder for something to collect, and looks for its configuration there."""
    corpus = ROOT / "tests" if inside else tmp_path
    make = ("make", "--no-print-directory", "--dry-run", "test-corpus", f"CORPUS={corpus}", "PYTEST_ARGS=--help")
    planned = subprocess.run(make, cwd=ROOT, env=child_environment({}), check=True, capture_output=True, text=True)
    _, *arguments = shlex.split(planned.stdout.splitlines()[-1])
    asked = subprocess.run(
        (sys.executable, *arguments), cwd=ROOT, env=child_environment({}), check=False, capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    assert "folder with manifest.jsonl" in asked.stdout
