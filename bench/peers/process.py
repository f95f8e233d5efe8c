"""A peer's environment, created in .cache on first use, and its server process, which ends with the block."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from bench.environments import ROOT, prepared
from bench.peers.peer import HOST, PeerError, Serving

_FOLDER = ROOT / ".cache" / "peers"
_START_S = 60.0
_STOP_S = 10.0
_POLL_S = 0.2
_LOG_SHOWN = 600


def environment(name: str) -> Path:
    """The folder of a peer's virtual environment, installed by its pinned requirements. Raises PeerError."""
    folder = _FOLDER / name
    if not prepared(folder, f"peers-{name}"):
        raise PeerError("its packages cannot be installed here")
    return folder


@contextmanager
def served(
    name: str,
    arguments: Sequence[str | Path],
    port: int,
    ready: Callable[[int], bool],
    settings: Mapping[str, str] | None = None,
) -> Iterator[Serving]:
    """Run `python ARGUMENTS` in the peer's environment and wait until it is `ready`, without access to a model hub.

    Raises PeerError with the end of its log when it ends, or is not ready after a minute.
    """
    folder = environment(name)
    home = _FOLDER / "home"
    home.mkdir(exist_ok=True)
    variables = {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")]),
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
        **(settings or {}),
    }
    with tempfile.TemporaryFile("w+") as log:
        command = [folder / "bin" / "python", *arguments]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, env=variables)
        try:
            _await(child, port, ready, lambda: _end_of(log.fileno()))
            yield Serving(port, [psutil.Process(child.pid)], child.kill)
        finally:
            _stop(child)


def answers(port: int, path: str) -> bool:
    """Whether an HTTP server answers 200 there."""
    try:
        with urlopen(f"http://{HOST}:{port}{path}", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def listens(port: int) -> bool:
    """Whether a TCP server accepts connections there."""
    try:
        socket.create_connection((HOST, port), timeout=2).close()
    except OSError:
        return False
    return True


def _await(child: subprocess.Popen[bytes], port: int, ready: Callable[[int], bool], log: Callable[[], str]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if child.poll() is not None:
            raise PeerError(f"ended with {child.returncode}: {log()}")
        if ready(port):
            return
        time.sleep(_POLL_S)
    raise PeerError(f"not ready after {_START_S:.0f} s: {log()}")


def _end_of(log: int) -> str:
    size = os.fstat(log).st_size
    return os.pread(log, _LOG_SHOWN, max(0, size - _LOG_SHOWN)).decode(errors="replace").strip()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL, to what this module started and its children."""
    try:
        family = [psutil.Process(child.pid), *psutil.Process(child.pid).children(recursive=True)]
    except psutil.Error:
        family = []
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    for process in family[1:]:
        if process.is_running():
            process.kill()
