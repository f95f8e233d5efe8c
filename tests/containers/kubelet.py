"""What the kubelet does for a Pod: it asks the probes that the manifest declares, and ends the Pod as it says."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from tests.containers.manifests import port_number
from tests.containers.podman import TIMEOUT_S, Pod, podman

_STEP_S = 0.1


def passes(pod: Pod, probe: str) -> bool:
    """Whether the Pod passes a probe now: `startupProbe`, `livenessProbe` or `readinessProbe`."""
    (container,) = pod.manifest["spec"]["containers"]
    match container[probe]:
        case {"tcpSocket": {"port": port}} as declared:
            return _accepts(pod.address, port_number(pod.manifest, port), _timeout(declared))
        case {"httpGet": {"path": path, "port": port}} as declared:
            return _answers(pod.address, port_number(pod.manifest, port), path, _timeout(declared))
        case {"exec": {"command": command}}:
            return _runs(pod, command).returncode == 0
    raise AssertionError(f"{probe} of {pod.name} is of a kind that is not known here")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition; AssertionError if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(_STEP_S)


def wait_ready(*pods: Pod) -> None:
    """Wait until the Pods have started and are ready."""
    for pod in pods:
        for probe in ("startupProbe", "readinessProbe"):
            wait_until(lambda pod=pod, probe=probe: passes(pod, probe), f"{pod.name}: {probe}")


def end(pod: Pod) -> int:
    """End a Pod as the kubelet does: preStop, SIGTERM, and SIGKILL when the grace period is over.

    Returns the exit status of its container; 137 means that the grace period was too short.
    """
    spec = pod.manifest["spec"]
    (container,) = spec["containers"]
    began = time.monotonic()
    match container.get("lifecycle"):
        case {"preStop": {"exec": {"command": command}}}:
            hook = _runs(pod, command)
            assert hook.returncode == 0, f"preStop: {hook.stderr[-300:]}"
    left = spec["terminationGracePeriodSeconds"] - (time.monotonic() - began)
    podman("stop", "--time", str(max(1, int(left))), pod.container)
    return int(pod.state("State.ExitCode"))


def _timeout(declared: dict[str, Any]) -> float:
    return float(declared.get("timeoutSeconds", 1))


def _accepts(address: str, port: int, timeout_s: float) -> bool:
    try:
        with socket.create_connection((address, port), timeout_s):
            return True
    except OSError:
        return False


def _answers(address: str, port: int, path: str, timeout_s: float) -> bool:
    with closing(http.client.HTTPConnection(address, port, timeout=timeout_s)) as connection:
        try:
            connection.request("GET", path)
            return 200 <= connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False


def _runs(pod: Pod, command: list[str]) -> subprocess.CompletedProcess[str]:
    arguments = ["podman", "exec", pod.container, *command]
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
