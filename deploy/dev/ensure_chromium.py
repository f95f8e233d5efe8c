"""Makes sure that a Chromium is there for the browser tests: they are never skipped for want of one."""

import os
import shutil
import subprocess
import sys

PACKAGE = "chromium"


def find() -> "str | None":
    """Path of the browser that the tests drive."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def install_commands(is_root: bool, has_apt: bool, has_sudo: bool) -> "list[list[str]]":
    """The commands that install the browser; none where this user cannot."""
    if not has_apt or not (is_root or has_sudo):
        return []
    prefix = [] if is_root else ["sudo", "-n"]
    return [
        [*prefix, "apt-get", "update", "-qq"],
        [
            *prefix,
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "apt-get",
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            PACKAGE,
        ],
    ]


def main() -> int:
    """Exit status 0 with a browser, 1 without."""
    if find():
        return 0
    commands = install_commands(
        os.geteuid() == 0, shutil.which("apt-get") is not None, shutil.which("sudo") is not None
    )
    sys.stderr.write(f"test: installing {PACKAGE} for the browser tests\n" if commands else "")
    for command in commands:
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:  # noqa: S603 - fixed commands
            break
    if find():
        return 0
    sys.stderr.write(f"test: the browser tests need {PACKAGE}: apt-get install {PACKAGE}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
