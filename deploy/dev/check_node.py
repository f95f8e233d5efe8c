"""Exits with 0 if a Node.js with npm is installed that can build the TypeScript client, else with 1."""

import re
import shutil
import subprocess
import sys

OLDEST = 20


def major(said: str) -> int:
    """The major version in the output of `node --version`; 0 for anything else."""
    found = re.match(r"v(\d+)\.", said)
    return int(found.group(1)) if found else 0


def main() -> int:
    """Return the exit status."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return 1
    result = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - found above
    return 0 if major(result.stdout) >= OLDEST else 1


if __name__ == "__main__":
    sys.exit(main())
