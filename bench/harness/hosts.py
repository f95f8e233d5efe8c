"""Network namespaces as hosts: each has its own addresses, its own loopback, and a cable that can be pulled.

A switch (a bridge in a namespace of its own) connects them. This process is on the network too, as one more host. Needs
root and iproute2. Addresses are from 198.18.0.0/15, which is kept for such tests (RFC 2544).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.harness.stack import ROOT, Program, child_environment, started

NETWORK = "198.18.77"
_IP = shutil.which("ip") or "/sbin/ip"
_HOSTS_FILES = Path("/etc/netns")


def available() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or not Path(_IP).exists():
        return False
    name = f"talkup-{os.getpid()}-probe"
    made = subprocess.run([_IP, "netns", "add", name], check=False, capture_output=True)
    if made.returncode == 0:
        _ip("netns", "del", name)
    return made.returncode == 0


@dataclass
class Host:
    """One namespace. `address` is its only one besides loopback."""

    name: str
    address: str
    _namespace: str
    _switch: str
    _port: str

    def start(self, arguments: Sequence[str], settings: Mapping[str, str], folder: Path, name: str = "") -> Program:
        """Start `python ARGUMENTS` on this host; its output goes to `folder`/NAME.log."""
        return self.run([sys.executable, *arguments], settings, folder, name)

    def run(self, command: Sequence[str], settings: Mapping[str, str], folder: Path, name: str = "") -> Program:
        """Start any program on this host, likewise."""
        log = folder / f"{name or self.name}.log"
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [_IP, "netns", "exec", self._namespace, *command],
                cwd=ROOT,
                env=child_environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        program = Program(name or self.name, process, log)
        started.append(program)
        return program

    def pull_cable(self) -> None:
        """From now on nothing from and to this host arrives, and nobody is notified."""
        _ip("-n", self._switch, "link", "set", self._port, "down")

    def plug_in(self) -> None:
        """Connect the host again."""
        _ip("-n", self._switch, "link", "set", self._port, "up")


@contextmanager
def hosts(*names: str, known: Mapping[str, Sequence[str]] | None = None) -> Iterator[list[Host]]:
    """Hosts on one network. `known`: names that all of them know, each with the hosts' names behind it."""
    prefix = f"talkup-{os.getpid()}"
    switch = f"{prefix}-switch"
    with ExitStack() as exits:
        _namespace(switch, exits)
        _ip("-n", switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", switch, "link", "set", "switch", "up")
        _ip("link", "add", "talkup-test", "type", "veth", "peer", "name", "own", "netns", switch)
        exits.callback(_ip, "link", "del", "talkup-test")
        _attach(switch, "own")
        _ip("address", "add", f"{NETWORK}.254/24", "dev", "talkup-test")
        _ip("link", "set", "talkup-test", "up")
        made = [Host(name, f"{NETWORK}.{n}", f"{prefix}-{name}", switch, name) for n, name in enumerate(names, 1)]
        for host in made:
            _add(host, exits)
        addresses = {host.name: host.address for host in made}
        lines = ["127.0.0.1 localhost"]
        lines += [f"{addresses[name]} {alias}" for alias, behind in (known or {}).items() for name in behind]
        for host in made:
            _write_hosts_file(host, lines, exits)
        yield made


def _add(host: Host, exits: ExitStack) -> None:
    _namespace(host._namespace, exits)
    _ip("-n", host._namespace, "link", "set", "lo", "up")
    _ip("-n", host._namespace, "link", "add", "eth0", "type", "veth", "peer", "name", host._port, "netns", host._switch)
    _attach(host._switch, host._port)
    _ip("-n", host._namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", host._namespace, "link", "set", "eth0", "up")


def _attach(switch: str, port: str) -> None:
    _ip("-n", switch, "link", "set", port, "master", "switch", "up")


def _namespace(name: str, exits: ExitStack) -> None:
    _ip("netns", "add", name)
    exits.callback(_ip, "netns", "del", name)


def _write_hosts_file(host: Host, lines: Sequence[str], exits: ExitStack) -> None:
    """`ip netns exec` shows /etc/netns/NAME/hosts as /etc/hosts (ip-netns(8))."""
    folder = _HOSTS_FILES / host._namespace
    folder.mkdir(parents=True)
    exits.callback(shutil.rmtree, folder)
    (folder / "hosts").write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def _ip(*arguments: str) -> None:
    done = subprocess.run([_IP, *arguments], check=False, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
