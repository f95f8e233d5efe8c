"""What ships: pinned by hash, listed with licences, looked up in an advisory database, in images without privileges."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from deploy.dev import audit, licences

ROOT = Path(__file__).parents[3]
IMAGES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
PINNED = sorted((ROOT / "deploy" / "requirements").glob("*.txt"))


@pytest.mark.parametrize("file", PINNED, ids=lambda file: file.stem)
def test_every_requirement_is_pinned_by_hash(file: Path) -> None:
    joined = file.read_text(encoding="utf-8").replace("\\\n", " ")
    requirements = [line for line in joined.splitlines() if line.strip() and not line.startswith(("#", "--"))]
    assert requirements
    for line in requirements:
        assert re.match(r"[\w.\[\],-]+\s*==\S+|[\w.\[\],-]+ @ \S+", line), line
        assert "--hash=sha256:" in line, line[:80]


@pytest.mark.parametrize("file", IMAGES, ids=lambda file: file.stem)
def test_images_run_as_a_user_without_rights_and_install_by_hash(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace("\\\n", " ")
    stages = re.split(r"(?m)^FROM ", text)[1:]
    final = [stage for stage in stages if "ENTRYPOINT" in stage]
    assert final
    for stage in final:
        assert re.search(r"(?m)^USER 10001$", stage)
        assert stage.index("USER 10001") < stage.index("ENTRYPOINT")
    for install in re.findall(r"pip install [^&\n]*", text):
        assert "--require-hashes" in install


@pytest.mark.parametrize("file", IMAGES, ids=lambda file: file.stem)
def test_whoever_builds_an_image_chooses_where_it_comes_from(file: Path) -> None:
    documented = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    text = file.read_text(encoding="utf-8")
    arguments = set(re.findall(r"(?m)^ARG (\w+)=?(\S*)$", text))
    assert arguments
    for name, default in arguments:
        assert (f"| `{name}` | `{default}` |" if default else f"| `{name}` | ") in documented
    for stage in re.split(r"(?m)^FROM ", text)[1:]:
        for command, argument in (("pip install", "PIP_INDEX_URL"), ("apt-get install", "DEBIAN_MIRROR")):
            assert command not in stage or f"ARG {argument}\n" in stage[: stage.index(command)]


def compose() -> dict[str, Any]:
    services: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]
    return services


@pytest.mark.parametrize("name", [name for name in compose() if name != "certs"])
def test_containers_are_read_only_and_can_gain_no_rights(name: str) -> None:
    service = compose()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    if name != "proxy":  # it terminates TLS for the others
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("stt-worker-1", "STT_CPUS"),
        ("stt-worker-2", "STT_CPUS"),
        ("stt-worker-cuda", "STT_CPUS"),
        ("vision-worker", "VISION_CPUS"),
    ],
)
def test_the_cores_of_a_worker_are_limited_by_a_documented_variable_and_not_without_it(
    name: str, variable: str
) -> None:
    assert compose()[name]["cpus"] == f"${{{variable}:-0}}"  # 0: no limit (compose specification, `cpus`)
    table = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| .*`{variable}`.* \| 0 \(no limit\) \|", table, re.MULTILINE)


def test_workers_of_the_compose_file_accept_the_gateway_alone() -> None:
    for name, service in compose().items():
        if name.endswith(("-worker", "-worker-cuda")):
            assert service["environment"]["WORKER_ALLOWED_CLIENTS"] == "gateway"
    gateway = compose()["gateway"]["environment"]
    assert (gateway["GATEWAY_STT_WORKER_NAME"], gateway["GATEWAY_VISION_WORKER_NAME"]) == (
        "stt-worker",
        "vision-worker",
    )


def package(name: str, *vulnerabilities: str, **more: str) -> dict[str, Any]:
    return {
        "name": name,
        "version": "1.0",
        "vulns": [{"id": each, "fix_versions": ["1.1"]} for each in vulnerabilities],
    } | more


@pytest.mark.parametrize(
    ("answer", "expected", "findings"),
    [
        (None, "NOT AUDITED: no advisory database could be reached", 0),
        ({"dependencies": [package("a", skip_reason="unknown")]}, "NOT AUDITED: the advisory database knows none", 0),
        ({"dependencies": [package("a"), package("b", skip_reason="unknown")]}, "NOT AUDITED: b", 0),
        ({"dependencies": [package("a", "PYSEC-1", "PYSEC-2")]}, "a 1.0: PYSEC-1 (fixed in 1.1)", 2),
        ({"dependencies": [package("a")]}, "1 packages audited, 0 findings", 0),
    ],
)
def test_an_audit_says_what_it_could_not_look_up(answer: dict[str, Any] | None, expected: str, findings: int) -> None:
    lines, found = audit.report(answer)
    assert lines[0].startswith(expected)
    assert found == findings


@pytest.mark.parametrize(("output", "status"), [("", 0), ('{"dependencies": [%s]}', 1)])
def test_only_findings_fail_the_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, status: int
) -> None:
    vulnerable = '{"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": []}]}'
    program = tmp_path / "pip-audit"
    program.write_text(f"#!/bin/sh\necho '{output % vulnerable if output else ''}'\nexit 1\n")
    program.chmod(0o755)
    assert audit.main([str(program), "requirements.txt"]) == status
    assert capsys.readouterr().out.startswith("requirements.txt: ")


def test_licences_are_listed_by_component() -> None:
    document = {
        "components": [
            {"name": "b", "version": "2", "licenses": [{"expression": "MIT OR Apache-2.0"}]},
            {"name": "a", "version": "1", "licenses": [{"license": {"id": "MIT"}}, {"license": {"id": "MIT"}}]},
            {
                "name": "c",
                "version": "3",
                "licenses": [{"license": {"name": "License :: OSI Approved :: BSD License"}}],
            },
            {"name": "d"},
        ]
    }
    assert list(licences.lines(document)) == [
        "a  1  MIT",
        "b  2  MIT OR Apache-2.0",
        "c  3  BSD License",
        "d    not declared",
    ]
