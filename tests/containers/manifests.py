"""The Pods of the Kubernetes manifests, in the form that Podman plays.

Podman 4.3 reads less than Kubernetes does. `podman_pod` changes what it cannot read, and nothing else:

- A Deployment becomes as many Pods as the test asks for, since Podman limits replicas to one.
- `ports` are left out: Podman would publish them on the host, where two workers would collide.
- Probes and `lifecycle` are left out: Podman translates a tcpSocket probe into a command that cannot run. `Kubelet`
  does what they say.
- Volumes get names of their own for each Pod: Podman shares an emptyDir among all Pods that call it the same.
- `optional: false`, the default, is written out: Podman crashes without it.
- The test's own settings (the model, the processor's cores) replace those of the manifest.
"""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
OVERLAY = ROOT / "deploy" / "kubernetes" / "overlays" / "cpu"
_OF_THE_KUBELET = ("ports", "startupProbe", "livenessProbe", "readinessProbe", "lifecycle")

Manifest = dict[str, Any]


def rendered() -> list[Manifest]:
    """Every object of the overlay `cpu`, as kubectl renders it."""
    text = subprocess.run(["kubectl", "kustomize", str(OVERLAY)], check=True, capture_output=True, text=True).stdout
    return [dict(each) for each in YAML(typ="safe").load_all(text)]


def template(objects: list[Manifest], deployment: str) -> Manifest:
    """The Pod template of a Deployment: `metadata` and `spec`."""
    found = [each for each in objects if (each["kind"], each["metadata"]["name"]) == ("Deployment", deployment)]
    assert len(found) == 1, f"{len(found)} Deployments are called {deployment}"
    return copy.deepcopy(found[0]["spec"]["template"])


def podman_pod(manifest: Manifest, name: str, settings: Mapping[str, str]) -> Manifest:
    """A Pod called `name` of this template, whose only container has `settings` besides its own."""
    pod = copy.deepcopy(manifest) | {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"]["name"] = name
    (container,) = pod["spec"]["containers"]
    for part in _OF_THE_KUBELET:
        container.pop(part, None)
    container["imagePullPolicy"] = "Never"
    kept = [variable for variable in container["env"] if variable["name"] not in settings]
    container["env"] = kept + [{"name": key, "value": value} for key, value in settings.items()]
    for volume in pod["spec"]["volumes"]:
        if "secret" in volume:
            volume["secret"]["optional"] = False
        else:
            volume["name"] = f"{name}-{volume['name']}"
    own = {volume["name"].removeprefix(f"{name}-"): volume["name"] for volume in pod["spec"]["volumes"]}
    for mount in container["volumeMounts"]:
        mount["name"] = own[mount["name"]]
    return pod


def port_number(manifest: Manifest, port: str | int) -> int:
    """The number of a port that a probe names."""
    (container,) = manifest["spec"]["containers"]
    numbers = {each["name"]: int(each["containerPort"]) for each in container["ports"]}
    return numbers[port] if isinstance(port, str) else port


def written(manifest: Manifest, folder: Path) -> Path:
    """The file with this object; JSON is YAML."""
    path = folder / f"{manifest['metadata']['name']}.json"
    path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    path.chmod(0o600)
    return path
