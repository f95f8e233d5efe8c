"""The contract itself: lint, no breaking change since the last release, generated code that matches `proto/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from talkup.v1 import task_pb2, worker_service_pb2

PROTO = Path(__file__).parents[2] / "proto"
BUF = str(Path(sys.executable).parent / "buf")


def breaking(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, "breaking", str(folder), "--against", str(PROTO / "baseline.binpb")],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_the_contract_is_compatible_with_the_last_release() -> None:
    result = breaking(PROTO)
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("task.proto", "uint32 attempt = 5;", "uint32 attempt = 15;"),
        ("task.proto", "string session_id = 1;", "bytes session_id = 1;"),
        ("error.proto", "  ERROR_CODE_BUSY = 18 [(traits) = {grpc_status: 8, close_code: 1013, retryable: true}];", ""),
        ("worker_service.proto", "rpc StreamTask", "rpc Stream"),
    ],
)
def test_a_breaking_change_is_detected(tmp_path: Path, file: str, old: str, new: str) -> None:
    shutil.copytree(PROTO, tmp_path, dirs_exist_ok=True)
    changed = tmp_path / "talkup" / "v1" / file
    source = changed.read_text()
    assert old in source
    changed.write_text(source.replace(old, new, 1))
    assert breaking(tmp_path).returncode != 0


def test_the_baseline_is_a_descriptor_set_of_the_contract() -> None:
    baseline = descriptor_pb2.FileDescriptorSet.FromString((PROTO / "baseline.binpb").read_bytes())
    assert "talkup/v1/worker_service.proto" in {file.name for file in baseline.file}


def test_the_contract_is_clean_and_the_generated_code_is_up_to_date() -> None:
    result = subprocess.run(
        ["sh", str(PROTO / "check.sh")],
        check=False, capture_output=True, text=True, timeout=60,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHON": sys.executable, "BUF": BUF},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_contract_has_the_expected_shape() -> None:
    (service,) = worker_service_pb2.DESCRIPTOR.services_by_name.values()
    method = service.methods_by_name["StreamTask"]
    assert service.full_name == "talkup.v1.WorkerService"
    assert (method.client_streaming, method.server_streaming) == (True, True)
    payload = task_pb2.TaskRequest.DESCRIPTOR.oneofs_by_name["payload"]
    assert [field.name for field in payload.fields] == ["start", "chunk", "flush", "end"]
