"""Ensures that the programs that tests need are installed, so that no test is skipped.

Without arguments those of `make test`: a browser and a Redis. Arguments name other packages of PROGRAMS.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS: "dict[str, tuple[str, ...]]" = {
    "chromium": ("chromium", "chromium-browser"),
    "redis-server": ("redis-server", "valkey-server"),
    "prometheus": ("promtool",),
    "kubernetes-client": ("kubectl",),
    "nginx": ("nginx", "/usr/sbin/nginx"),
    "firefox-esr": ("firefox-esr", "firefox"),
    "webkit2gtk-driver": ("WebKitWebDriver",),
    "gstreamer1.0-plugins-bad": ("/usr/lib/*/gstreamer-1.0/libgstvoaacenc.so",),
    "xvfb": ("Xvfb",),
    "pulseaudio": ("pulseaudio",),
}
"""Debian's package, and the names of programs that serve the same purpose. A name with `/` is a pattern of paths."""
OF_MAKE_TEST = ("chromium", "redis-server")
# WebKit records with GStreamer's AAC, which is a library.
BROWSERS = ("chromium", "firefox-esr", "webkit2gtk-driver", "gstreamer1.0-plugins-bad", "xvfb", "pulseaudio")


def missing(wanted: "tuple[str, ...]" = OF_MAKE_TEST, programs: "dict[str, tuple[str, ...]]" = PROGRAMS) -> "list[str]":
    """The packages of these of which no program is installed."""
    return [package for package in wanted if not any(map(_is_installed, programs[package]))]


def _is_installed(name: str) -> bool:
    return any(Path("/").glob(name[1:])) if name.startswith("/") else shutil.which(name) is not None


def install_commands(packages: "list[str]", is_root: bool, has_apt: bool, has_sudo: bool) -> "list[list[str]]":
    """The commands that install packages; none if this user cannot install any."""
    if not has_apt or not (is_root or has_sudo):
        return []
    prefix = [] if is_root else ["sudo", "-n"]
    install = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    return [[*prefix, "apt-get", "update", "-qq"], [*prefix, *install, *packages]]


def main(packages: "tuple[str, ...]" = OF_MAKE_TEST) -> int:
    """Install what is missing; return exit status 0 if every program is installed, else 1."""
    wanted = missing(packages)
    if not wanted:
        return 0
    has_apt, has_sudo = shutil.which("apt-get") is not None, shutil.which("sudo") is not None
    commands = install_commands(wanted, os.geteuid() == 0, has_apt, has_sudo)
    names = " ".join(wanted)
    sys.stderr.write(f"test: installing {names}\n" if commands else "")
    for command in commands:
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:  # noqa: S603 - fixed commands
            break
    if not missing(packages):
        return 0
    sys.stderr.write(f"test: the tests need {names}: apt-get install {names}\n")
    return 1


if __name__ == "__main__":
    arguments = tuple(sys.argv[1:]) or OF_MAKE_TEST
    sys.exit(main(BROWSERS if arguments == ("browsers",) else arguments))
