"""Checks, before anything is installed, whether this Python can run the project. Works on any Python 3."""

import importlib.util
import sys

MINIMUM = (3, 11)


def problem(version: "tuple[int, int]", has_venv: bool) -> str:
    """The problem in one line; empty if there is none."""
    if version < MINIMUM:
        needed = f"Python {MINIMUM[0]}.{MINIMUM[1]} or newer is needed"
        return f"{needed}, this is {version[0]}.{version[1]}: make PYTHON=python3.11 setup"
    if not has_venv:
        return f"Python's venv module is missing: apt-get install python{version[0]}.{version[1]}-venv"
    return ""


def main() -> int:
    """Print the problem, if any; return exit status 1 for a problem, else 0."""
    has_venv = all(importlib.util.find_spec(name) is not None for name in ("venv", "ensurepip"))
    found = problem(sys.version_info[:2], has_venv)
    if found:
        sys.stderr.write(f"setup: {found}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
