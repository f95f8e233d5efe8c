"""Virtual environments of the products that we compare with: they need other versions of the same packages."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]


def prepared(folder: Path, requirements: str) -> bool:
    """Install what deploy/requirements/REQUIREMENTS.txt pins into `folder` if it is not there; return whether it is."""
    pinned = ROOT / "deploy" / "requirements" / f"{requirements}.txt"
    complete = folder / ".complete"
    if complete.exists() and complete.read_text() == pinned.read_text():
        return True
    venv.create(folder, with_pip=True, clear=True)
    command: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "--quiet", "--no-input", "install"]
    command += ["--no-deps", "--require-hashes", "-r", pinned]
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        return False
    complete.write_text(pinned.read_text())
    return True
