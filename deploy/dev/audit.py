"""`make audit`: looks up every pinned package in an advisory database, and says so when none could be read.

Runs pip-audit (see deploy/requirements/supply-chain.in) on files of hash-pinned requirements. Exit status: 1 for known
vulnerabilities, otherwise 0. Packages that the database does not know count as not audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

TIMEOUT_S = 600.0


def report(audited: Mapping[str, Any] | None) -> tuple[list[str], int]:
    """The lines for one file, and the number of findings. `audited`: pip-audit's JSON; None if it had no answer."""
    if audited is None:
        return ["NOT AUDITED: no advisory database could be reached"], 0
    packages = audited.get("dependencies", [])
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    lines = [
        f"{package['name']} {package['version']}: {found['id']} (fixed in {', '.join(found['fix_versions']) or 'none'})"
        for package in packages
        for found in package.get("vulns", [])
    ]
    findings = len(lines)
    if packages and len(skipped) == len(packages):
        return ["NOT AUDITED: the advisory database knows none of these packages"], 0
    if skipped:
        lines.append(f"NOT AUDITED: {', '.join(skipped)}")
    lines.append(f"{len(packages) - len(skipped)} packages audited, {findings} findings")
    return lines, findings


def audit(program: str, requirements: str) -> Mapping[str, Any] | None:
    """pip-audit's answer for a file; None if it had none."""
    command = [program, "--disable-pip", "--require-hashes", "--requirement", requirements]
    try:
        done = subprocess.run(  # noqa: S603 (the paths come from the Makefile)
            [*command, "--format", "json", "--progress-spinner", "off"],
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def main(arguments: Sequence[str]) -> int:
    """`audit.py PIP_AUDIT FILE…`; returns the exit status."""
    program, *files = arguments
    findings = 0
    for file in files:
        lines, found = report(audit(program, file))
        findings += found
        sys.stdout.write("".join(f"{file}: {line}\n" for line in lines))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
