"""`--check` finds, before a start, what would end or mislead a gateway, and changes nothing."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.__main__ import main
from gateway.check import faults
from gateway.config import GatewayConfig
from gateway.key_commands import run as keys
from settings.declaration import from_values
from tests.fakes.identity_provider import provider

WORKERS = {"stt_workers": "127.0.0.1:50051"}


async def found(**values: str) -> list[str]:
    """`setting: problem` of each fault."""
    config = from_values(GatewayConfig, {"store": "memory://", **WORKERS, **values})
    return [f"{fault.setting}: {fault.problem}" async for fault in faults(config)]


def certificate(folder: Path, *, days: int, name: str = "gateway") -> tuple[str, str]:
    """A certificate that is valid for `days` from now, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=min(days, 0) - 2))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}-key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(cert_file), str(key_file)


async def test_a_sound_configuration_has_no_fault(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, days=9)
    file = tmp_path / "keys.json"
    keys(["add", "backend", "--file", str(file)])
    store = tmp_path / "new" / "gateway.db"
    assert await found(
        tls_cert=cert, tls_key=key, worker_ca=cert, api_keys_file=str(file), store=f"sqlite:///{store}"
    ) == []  # fmt: skip
    assert not store.parent.exists()


async def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, days=-1)
    other, other_key = certificate(tmp_path, days=9, name="other")
    (expired,) = await found(tls_cert=cert, tls_key=key)
    assert expired.startswith(f"tls_cert: {cert}: a certificate expired at ")
    (mixed,) = await found(worker_ca=other, worker_cert=other, worker_key=key)
    assert mixed == f"worker_cert: {other} and {key} cannot be used: key values mismatch"
    (no_ca,) = await found(worker_ca=other_key)
    assert no_ca == f"worker_ca: {other_key} holds no certificate in PEM"


async def test_a_file_of_keys_that_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text("{", encoding="utf-8")
    assert await found(api_keys_file=str(file)) == [f"api_keys_file: {file}: it is not JSON"]
    file.unlink()
    keys(["add", "backend", "--expires", "1m", "--file", str(file)])
    content = json.loads(file.read_text(encoding="utf-8"))
    content["keys"][0]["expires_at"] = 1
    file.write_text(json.dumps(content), encoding="utf-8")
    (fault,) = await found(api_keys_file=str(file))
    assert fault == f"api_keys_file: {file} holds no key that is valid now: nobody could connect"


async def test_an_identity_provider_that_cannot_be_read(tmp_path: Path) -> None:
    async with provider(tmp_path) as remote:
        assert await found(**remote.settings) == []
        remote.status = 503
        assert await found(**remote.settings) == ["oidc_issuer: 127.0.0.1 answers 503"]
        settings = {**remote.settings, "oidc_jwks_url": f"{remote.issuer}/keys"}
        assert await found(**settings) == []
        await remote.stop()
        (fault,) = await found(**settings)
        assert fault.startswith("oidc_jwks_url: no connection to 127.0.0.1: ")


async def test_stores_that_cannot_be_opened(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"this is no database, and long enough to be looked at as one " * 40)
    (fault,) = await found(store=f"sqlite:///{garbage}")
    assert fault == f"store: {garbage} cannot be read as a SQLite file (DatabaseError)"
    (fault,) = await found(store=f"sqlite:///{tmp_path}")
    assert fault == f"store: {tmp_path} is no file that this user may write to"
    (fault,) = await found(store=f"sqlite:///{garbage}/below/gateway.db")
    assert "cannot be made" in fault
    (fault,) = await found(store="redis://127.0.0.1:1/0", token_secret="s" * 32)
    assert fault.startswith("store: ")


async def test_an_existing_store_is_only_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "gateway.db"
    with sqlite3.connect(path) as db:
        db.execute(
            "PRAGMA journal_mode = WAL"
        )  # as the gateway does; readers of such a file make two more files next to it
        db.execute("CREATE TABLE sessions (session_id TEXT PRIMARY KEY)")
    for in_use in (True, False):
        if not in_use:
            db.close()
        before = (path.read_bytes(), sorted(tmp_path.iterdir()))
        assert await found(store=f"sqlite:///{path}") == []
        assert (path.read_bytes(), sorted(tmp_path.iterdir())) == before


async def test_a_damaged_file_of_secrets(tmp_path: Path) -> None:
    secret = tmp_path / "gateway.db.secret"
    secret.write_text("short\n", encoding="utf-8")
    (fault,) = await found(store=f"sqlite:///{tmp_path}/gateway.db")
    assert fault.startswith(f"token_secret: the secret of the tokens, {secret}")


async def test_workers_that_cannot_be_called() -> None:
    assert (await found(stt_workers=""))[0].startswith("stt_workers: neither speech nor vision")
    assert (await found(stt_workers="nonsense"))[0].startswith("stt_workers: not an endpoint")
    assert (await found(vision_workers="10.0.0.9:1"))[0].startswith("vision_workers: plaintext gRPC to 10.0.0.9:1")
    assert await found(stt_workers="dns:///workers.internal:50051,127.0.0.1:1,[::1]:2") == []


def test_the_command_prints_a_line_per_fault(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_STORE", f"sqlite:///{tmp_path}")
    assert main(["--check", "--stt-workers", "10.0.0.9:1"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["gateway:", "setting", "--stt-workers"],
        ["gateway:", "setting", "--store"],
    ]
    monkeypatch.setenv("GATEWAY_STORE", "memory://")
    assert main(["--stt-workers", "127.0.0.1:1", "--check"]) == 0
    assert capsys.readouterr().out == "gateway: settings, certificates, keys and store are in order\n"
    assert main(["--check", "--ws-port", "seven"]) == 2
    assert "--ws-port" in capsys.readouterr().err
