"""Optional packages that parts of the command need, and how to install them for this Python."""

from __future__ import annotations

import shlex
import sys
from typing import Final

EXTRAS: Final = {
    "annotate": ("av>=18.1,<19", "numpy>=2.2,<3", "opencv-python-headless>=5.0.0.93,<6"),
    "files": ("av>=18.1,<19",),
    "microphone": ("sounddevice>=0.5,<1",),
}
"""As `pyproject.toml` declares them. Their own names work wherever this package came from."""


def install_command(extra: str) -> str:
    """A command line that installs what an extra needs."""
    return shlex.join([sys.executable or "python3", "-m", "pip", "install", *EXTRAS[extra]])
