"""A real Redis on a free loopback port, in its own folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness.stack import HOST, STOP_TIMEOUT_S, StackError, free_port

_TRIES = 400
_PAUSE_S = 0.025


@contextmanager
def running_redis(folder: Path, *arguments: str) -> Iterator[str]:
    """The URL of a server that runs inside the block, with these further arguments. Raises StackError without one."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise StackError("no redis-server or valkey-server on this machine: make test installs one")
    port = free_port()
    settings = [
        "--port",
        str(port),
        "--bind",
        HOST,
        "--dir",
        str(folder),
        "--save",
        "",
        "--appendonly",
        "no",
        *arguments,
    ]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([program, *settings], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_until_open(process, port)
        yield f"redis://{HOST}:{port}/0"
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def _wait_until_open(process: subprocess.Popen[bytes], port: int) -> None:
    pause = threading.Event()
    for _ in range(_TRIES):
        if process.poll() is not None:
            raise StackError(f"redis ended with {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        pause.wait(_PAUSE_S)
    raise StackError("redis does not listen")
