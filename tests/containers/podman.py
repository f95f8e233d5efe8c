"""Podman for tests: a network, secrets and Pods with names of their own, all removed at the end."""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.containers.manifests import Manifest, podman_pod, written

TIMEOUT_S = 120
IMAGES = ("talkup-gateway", "talkup-stt-worker", "talkup-vision-worker", "docker.io/library/redis:7.4-bookworm")


def podman(*arguments: str, check: bool = True, text: str | None = None) -> str:
    """The output of a Podman command."""
    done = subprocess.run(
        ["podman", *arguments], check=False, capture_output=True, text=True, input=text, timeout=TIMEOUT_S
    )
    assert not check or done.returncode == 0, f"podman {arguments[0]} {arguments[1]}: {done.stderr.strip()[-600:]}"
    return done.stdout.strip()


def missing() -> str:
    """What this machine lacks for these tests; empty if nothing."""
    lacking = [program for program in ("podman", "kubectl", "catatonit") if shutil.which(program) is None]
    if lacking:
        return f"the programs {', '.join(lacking)}"
    lacking = [image for image in IMAGES if not image_exists(image)]
    return f"the images {', '.join(lacking)}" if lacking else ""


def image_exists(image: str) -> bool:
    return subprocess.run(["podman", "image", "exists", image], check=False, timeout=TIMEOUT_S).returncode == 0


@dataclass
class Pod:
    """A Pod of one container. `manifest` is the template it was made of, unchanged."""

    name: str
    manifest: Manifest
    address: str = ""

    @property
    def container(self) -> str:
        return f"{self.name}-{self.manifest['spec']['containers'][0]['name']}"

    def log(self) -> str:
        """What its program wrote, to both outputs."""
        done = subprocess.run(
            ["podman", "logs", self.container],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
        )
        return done.stdout

    def times_logged(self, event: str) -> int:
        """How often its log has this event."""
        return self.log().count(f'"event": "{event}"')

    def state(self, name: str) -> str:
        """A field of `podman inspect`, such as RestartCount or State.ExitCode."""
        return podman("inspect", "--format", f"{{{{.{name}}}}}", self.container)


@dataclass
class Cluster:
    """A network on which Pods find each other by the names of their Services. It has no way out.

    `gateway` is this machine's address on it, `volumes` what its Pods wrote to, which is removed with them.
    """

    folder: Path
    network: str
    exits: ExitStack
    gateway: str
    volumes: set[str] = field(default_factory=set)

    def add_secret(self, name: str, values: Mapping[str, str]) -> None:
        """A Secret for volumes. Podman 4.3 expects the object, with values that are not in base64."""
        self._create_secret(name, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": values})

    def add_secret_of_variables(self, name: str, values: Mapping[str, str]) -> None:
        """A Secret for `secretKeyRef`. Podman 4.3 expects its `data` alone, with values in base64."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self._create_secret(name, encoded)

    def _create_secret(self, name: str, content: Mapping[str, object]) -> None:
        podman("secret", "create", name, "-", text=json.dumps(content))
        self.exits.callback(podman, "secret", "rm", name)
        self.exits.callback(podman, "volume", "rm", "--force", name, check=False)

    def add_redis(self, alias: str) -> None:
        """A Redis that keeps nothing, under this name."""
        name = f"{self.network}-redis"
        network = f"{self.network}:alias={alias}"
        server = ("redis-server", "--save", "", "--protected-mode", "no")
        podman("run", "--detach", "--name", name, "--network", network, "--pull=never", IMAGES[-1], *server)
        self.exits.callback(podman, "rm", "--force", "--volumes", name)

    def play(self, manifest: Manifest, service: str, name: str, settings: Mapping[str, str]) -> Pod:
        """Start a Pod of this template behind a headless Service."""
        pod = Pod(f"{self.network}-{name}", manifest)
        path = written(podman_pod(manifest, pod.name, settings), self.folder)
        self.exits.callback(self._remove, pod, path)
        podman("kube", "play", "--network", f"{self.network}:alias={service}", str(path))
        infra = podman("pod", "inspect", "--format", "{{.InfraContainerID}}", pod.name)
        networks = json.loads(podman("inspect", "--format", "{{json .NetworkSettings.Networks}}", infra))
        pod.address = networks[self.network]["IPAddress"]
        mounts = json.loads(podman("inspect", "--format", "{{json .Mounts}}", pod.container))
        self.volumes |= {mount["Name"] for mount in mounts if mount["Type"] == "volume"}
        return pod

    def remove_volumes(self) -> None:
        """Remove what is left of the Pods' volumes, once they are gone. Podman keeps those of a Pod that has ended."""
        for volume in self.volumes:
            podman("volume", "rm", "--force", volume, check=False)

    def _remove(self, pod: Pod, path: Path) -> None:
        (self.folder / f"{pod.name}.log").write_text(pod.log(), encoding="utf-8")
        podman("kube", "down", str(path), check=False)
        podman("pod", "rm", "--force", pod.name, check=False)  # one that could not be started


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A network for Pods; nothing is left of it and of them."""
    name = f"pods-{secrets.token_hex(3)}"
    with ExitStack() as exits:
        podman("network", "create", "--internal", name)
        exits.callback(podman, "network", "rm", name)
        (network,) = json.loads(podman("network", "inspect", name))
        made = Cluster(folder, name, exits, network["subnets"][0]["gateway"])
        exits.callback(made.remove_volumes)
        yield made
