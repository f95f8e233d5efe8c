"""The environments in which something is missing ("grounds"), and how to run a program in each."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness.stack import ROOT

STRANGER = 12_345
# What a copy of the project needs to run, besides its packages.
_COPIED = ("clients/python", "generated", "tests/data/speech")
_PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy")
_NOBODY_LISTENS = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Ground:
    """One ground. `variables`: set, or with None removed. `inside`: shell commands before the program.

    `copied`: the project runs from a copy in a folder of this name. `scenario`: what is tried there.
    """

    name: str
    needs_root: bool = False
    variables: Mapping[str, str | None] = field(default_factory=dict)
    unshared: str = ""
    inside: Callable[[Path], Sequence[str]] = lambda _: ()
    copied: str = ""
    scenario: str = "everything"

    def environment(self) -> dict[str, str]:
        """The environment of the program."""
        found = {**os.environ, **{name: value for name, value in self.variables.items() if value is not None}}
        return {name: value for name, value in found.items() if self.variables.get(name, "") is not None}

    def command(self, folder: Path, program: Sequence[str]) -> list[str]:
        """The command that runs a program there. `folder`: where it may write."""
        steps = [*self.inside(folder), 'exec "$@"']
        shell = ["sh", "-e", "-c", "\n".join(steps), "sh", *program]
        return ["unshare", *self.unshared.split(), *shell] if self.unshared else shell

    def root(self, folder: Path) -> Path:
        """Where the project is; copies it if it has to be elsewhere."""
        if not self.copied:
            return ROOT
        copy = folder / self.copied
        packages = [path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
        for name in (*packages, *_COPIED):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
        return copy


def _stranger(folder: Path) -> list[str]:
    """Become a user whom /etc/passwd does not list, and let that user reach Python where only root may look."""
    home, behind = Path("/root"), shlex.quote(str(folder / "behind"))
    steps = [f"chown {STRANGER}:{STRANGER} {shlex.quote(str(folder))}"]
    if Path(sys.base_prefix).is_relative_to(home):
        inside = Path(sys.base_prefix).relative_to(home).parts[0]
        steps += [
            f"mkdir -p {behind}",
            f"mount --bind {home / inside} {behind}",
            f"mount -t tmpfs -o mode=755 none {home}",
            f"mkdir -p {home / inside}",
            f"mount --bind {behind} {home / inside}",
        ]
    return [*steps, f'exec setpriv --reuid {STRANGER} --regid {STRANGER} --clear-groups "$@"']


GROUNDS: tuple[Ground, ...] = (
    Ground("no HOME", variables={"HOME": None, "XDG_CACHE_HOME": None, "WORKER_MODEL_CACHE": None}),
    Ground(
        "user 12345 without an entry in /etc/passwd",
        needs_root=True,
        variables={"HOME": None, "XDG_CACHE_HOME": None, "WORKER_MODEL_CACHE": None, "USER": None, "LOGNAME": None},
        unshared="--mount",
        inside=_stranger,
        scenario="without_cache",
    ),
    Ground(
        "read-only root, /tmp too",
        needs_root=True,
        variables={"WORKER_MODEL_CACHE": "/root/.cache/none", "XDG_CACHE_HOME": None},
        unshared="--mount",
        inside=lambda folder: [
            f"mount -t tmpfs none {shlex.quote(str(folder))}",
            "mount -o remount,bind,ro /",
        ],
        scenario="without_cache",
    ),
    Ground(
        "model cache that cannot be written", variables={"WORKER_MODEL_CACHE": "/proc/none"}, scenario="without_cache"
    ),
    Ground(
        "proxy variables",
        variables={**dict.fromkeys(_PROXIES, _NOBODY_LISTENS), "no_proxy": None, "NO_PROXY": None},
    ),
    Ground(
        "LANG=C",
        variables={"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": None},
    ),
    Ground(
        "IPv6 off",
        needs_root=True,
        unshared="--net",
        inside=lambda _: ["echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6", "ip link set lo up"],
    ),
    Ground("ulimit -n 256", inside=lambda _: ["ulimit -n 256"]),
    Ground("path with spaces", copied="a path with späces"),
    Ground(
        "full disk under SQLite",
        needs_root=True,
        unshared="--mount",
        inside=lambda folder: [
            f"mkdir {shlex.quote(str(folder / 'small'))}",
            f"mount -t tmpfs -o size=1m none {shlex.quote(str(folder / 'small'))}",
        ],
        scenario="full_disk",
    ),
)

EVERYTHING_AT_ONCE = Ground(
    "all that needs no root, at once",
    variables={
        name: value
        for ground in GROUNDS
        if not ground.needs_root
        for name, value in ground.variables.items()
        if name != "WORKER_MODEL_CACHE"
    }
    | {"WORKER_MODEL_CACHE": "/proc/none"},
    inside=lambda _: ["ulimit -n 256"],
    copied="a path with spaces",
)
"""For a quick test: if it works here, it works on each of them."""
