"""The servers under test, each a process of its own: echoes, bridges, the gateway, and the worker behind them."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.harness.stack import HOST, KEY, ROOT, Program, child_environment, free_port, start, wait_until_ready
from deploy.dev.certs import Identity, ensure

NODE = Path(__file__).parent / "node"
_INSTALL_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A server as the load sees it. `pid` None: only its latency counts."""

    name: str
    pid: int | None
    door: str
    url: str
    framing: str = "json"
    start: str = "stream_start"
    ca: str | None = None


def install_node_packages() -> None:
    """Install the pinned npm packages where they are missing. Raises AssertionError without Node.js or its packages."""
    assert shutil.which("npm"), "the part `overhead` needs Node.js: run `make setup` and `make bench-gateway`"
    lock, complete = NODE / "package-lock.json", NODE / "node_modules" / ".complete"
    if complete.exists() and complete.read_text() == lock.read_text():
        return
    command = ["npm", "--prefix", NODE, "ci", "--ignore-scripts", "--silent"]
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, timeout=_INSTALL_TIMEOUT_S)
    except subprocess.SubprocessError as error:
        raise AssertionError(f"the npm packages of the part `overhead` could not be installed: {error}") from error
    complete.write_text(lock.read_text())


def start_node(name: str, script: str, arguments: Sequence[str], folder: Path) -> Program:
    """Start `node SCRIPT ARGUMENTS` with its output in `folder`/NAME.log."""
    log = folder / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            ["node", NODE / script, *arguments], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
        )
    return Program(name, process, log)


@contextmanager
def running_subjects(other_checkout: Path | None = None) -> Iterator[list[Subject]]:
    """Start all servers, idle until they are used. `other_checkout`: also the gateway of that checkout."""
    install_node_packages()
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory(prefix="talkup-overhead-")))

        def launch(begin: Callable[[int], Program]) -> tuple[Program, int]:
            port = free_port()
            program = begin(port)
            exits.callback(program.stop)
            program.wait_for_log("ready")
            return program, port

        _, worker = launch(lambda port: start_node("worker", "worker.mjs", [str(port)], folder))
        here = "bench.gateway.overhead"
        ws, ws_port = launch(lambda port: start("echo-ws", ("-m", f"{here}.echo", "ws", str(port)), {}, folder))
        echo, echo_port = launch(lambda port: start("echo-grpc", ("-m", f"{here}.echo", "grpc", str(port)), {}, folder))
        bridge, bridge_port = launch(
            lambda port: start("bridge", ("-m", f"{here}.bridge", str(port), str(worker)), {}, folder)
        )
        node, node_port = launch(lambda port: start_node("node-bridge", "bridge.mjs", [str(port), str(worker)], folder))
        subjects = [
            Subject("ws echo", ws.pid, "ws", f"ws://{HOST}:{ws_port}/", start="none"),
            Subject("grpc echo", echo.pid, "grpc_raw", f"{HOST}:{echo_port}"),
            Subject("python bridge", bridge.pid, "ws", f"ws://{HOST}:{bridge_port}/"),
            Subject("node bridge", node.pid, "ws", f"ws://{HOST}:{node_port}/"),
            Subject("direct", None, "grpc", f"{HOST}:{worker}"),
        ]
        certificate = ensure(folder / "tls", {"gateway": [HOST]}, dt.datetime.now(dt.UTC))["gateway"]
        subjects += _gateway(exits, "ours", ROOT, worker, folder, certificate)
        # With one RPC a stream instead of one for all streams of the worker.
        subjects += _gateway(exits, "unlinked", ROOT, worker, folder, certificate, links="never")[:1]
        if other_checkout is not None:
            subjects += _gateway(exits, "other", other_checkout, worker, folder, certificate)
        yield subjects


def _gateway(
    exits: ExitStack,
    name: str,
    checkout: Path,
    worker: int,
    folder: Path,
    certificate: Identity,
    *,
    links: str | None = None,
) -> list[Subject]:
    """A gateway, reached in four ways."""
    http_port, ws_port, wss_port = free_port(), free_port(), free_port()
    settings = {
        "GATEWAY_HTTP_PORT": str(http_port),
        "GATEWAY_WS_PORT": str(ws_port),
        "GATEWAY_WSS_PORT": str(wss_port),
        "GATEWAY_WSS_HOST": HOST,
        "GATEWAY_TLS_CERT": str(certificate.certificate),
        "GATEWAY_TLS_KEY": str(certificate.key),
        "GATEWAY_API_KEYS": KEY,
        "GATEWAY_MAX_SESSIONS": "20000",
        "GATEWAY_STORE": f"sqlite:///{folder / f'{name}.db'}",
        "GATEWAY_STT_WORKERS": f"{HOST}:{worker}",
        "GATEWAY_LOG_LEVEL": "warning",
    }
    if links is not None:
        settings["GATEWAY_WORKER_LINKS"] = links
    program = _start_gateway(name, checkout, settings, folder)
    exits.callback(program.stop)
    wait_until_ready(program, http_port)
    plain = Subject(f"{name} json", program.pid, "ws", f"ws://{HOST}:{ws_port}/ws")
    secure = replace(plain, name=f"{name} wss json", url=f"wss://{HOST}:{wss_port}/ws", ca=str(certificate.ca))
    return [
        plain,
        replace(plain, name=f"{name} binary", framing="binary"),
        secure,
        replace(secure, name=f"{name} wss binary", framing="binary"),
    ]


def _start_gateway(name: str, checkout: Path, settings: Mapping[str, str], folder: Path) -> Program:
    """Start `python -m gateway` as a checkout has it."""
    paths = [str(checkout), str(checkout / "generated"), str(checkout / "clients" / "python")]
    environment = {**child_environment(settings), "PYTHONPATH": os.pathsep.join(paths)}
    log = folder / f"{name}.log"
    with log.open("ab") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    return Program(name, process, log)
