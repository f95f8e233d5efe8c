"""A scenario on a ground: started there, and its findings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.grounds.grounds import Ground
from bench.grounds.scenario import WORKS

_PATIENCE_S = 240.0


def tried(ground: Ground) -> dict[str, str]:
    """What each program did on a ground: `works`, or what it said. Raises AssertionError if the ground is not there."""
    folder = Path(tempfile.mkdtemp(prefix="talkup-ground-"))
    try:
        root = ground.root(folder)
        paths = os.pathsep.join(str(root / name) for name in (".", "generated", "clients/python"))
        python, place = sys.executable, folder
        if ground.copied:
            place = root / "data"
            place.mkdir()
            (root / "venv").symlink_to(sys.prefix, target_is_directory=True)
            python = str(root / "venv" / "bin" / "python")
        command = ground.command(folder, [python, "-m", "bench.grounds.scenario", ground.scenario, str(place)])
        done = subprocess.run(
            command,
            cwd=root,
            env={**ground.environment(), "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{ground.name}: {done.stderr[-2000:]}"
        found: dict[str, str] = json.loads(done.stdout)
        return {program: result.replace(str(folder), "FOLDER") for program, result in found.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def shown(found: Mapping[str, str]) -> str:
    """The findings in a cell of a table: the programs that work, then what the others said."""
    working = [program for program, result in found.items() if result == WORKS]
    others = [f"{program}: `{result}`" for program, result in found.items() if result != WORKS]
    return "; ".join([*([f"{', '.join(working)}: work"] if working else []), *others])


def is_clear(result: str) -> bool:
    """Whether a program worked, or ended with one line that says why."""
    return result == WORKS or (result.startswith("status ") and "\n" not in result and "Traceback" not in result)
