"""Has systemd check the units of deploy/systemd: that it understands them, and how little they may do.

`systemd-analyze` looks for the program of a unit on this machine, so that copies with another one are checked.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

UNITS: Final = Path(__file__).resolve().parents[1] / "systemd"
INSTALLED: Final = "/opt/talkup"
MOST_EXPOSED: Final = 20
"""Tenths of `systemd-analyze security`: 0 is the least exposed, 100 the most."""


def check(folder: Path) -> list[str]:
    """Write copies to `folder` and check them there; returns what systemd finds."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for unit in sorted(UNITS.glob("*.service")):
        copy = folder / unit.name
        text = unit.read_text(encoding="utf-8").replace(f"{INSTALLED}/.venv/bin/python", sys.executable)
        copy.write_text(text.replace(f"WorkingDirectory={INSTALLED}", "WorkingDirectory=/"), encoding="utf-8")
        found += _run("verify", str(copy))
        found += _run("security", "--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(copy))
    return found


def _run(*arguments: str) -> list[str]:
    """What a command says if it fails or complains."""
    done = subprocess.run(  # noqa: S603 (our own arguments)
        ["systemd-analyze", *arguments],  # noqa: S607 (where it is depends on the system)
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stderr.strip() or done.stdout.strip()
    failed = done.returncode != 0 or (arguments[0] == "verify" and said)
    return [f"systemd-analyze {' '.join(arguments)}: {said}"] if failed else []


def main(arguments: Sequence[str]) -> int:
    """Check the units in the folder given for copies; returns the exit status."""
    found = check(Path(arguments[0]))
    for line in found:
        sys.stderr.write(f"{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
