"""`talkup certs`: one CA for many hosts, further certificates from it, renewal, and what it refuses."""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from bench.harness.stack import child_environment
from gateway.certificates.commands import run
from settings.errors import ConfigError

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def certs(*arguments: str | Path, now: dt.datetime = NOW) -> str:
    return run([str(argument) for argument in arguments], lambda: now)


def server_context(folder: Path, name: str) -> ssl.SSLContext:
    """A worker that asks for certificates of clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(folder: Path, name: str) -> ssl.SSLContext:
    """A gateway that shows its own certificate."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}-key.pem")
    return context


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """A handshake in memory. Raises ssl.SSLError at the end that refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
    assert not ends


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "tls"
    certs("init", found)
    return found


def test_every_host_has_its_names_and_a_later_one_the_same_ca(folder: Path) -> None:
    ca = (folder / "ca.pem").read_bytes()
    certs("issue", folder, "gateway", "gpu-1=stt-worker,gpu-1.internal,10.0.0.5")
    certs("issue", folder, "gpu-2=stt-worker,gpu-2.internal,fd00::6")
    assert (folder / "ca.pem").read_bytes() == ca
    for host, names in (("gpu-1", ["stt-worker", "gpu-1.internal", "10.0.0.5"]), ("gpu-2", ["fd00::6"])):
        for name in names:
            shake_hands(server_context(folder, host), client_context(folder, "gateway"), name)
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(server_context(folder, "gpu-1"), client_context(folder, "gateway"), "gpu-2.internal")


def test_keys_are_readable_by_their_owner_only(folder: Path) -> None:
    certs("issue", folder, "gateway")
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "gateway.pem": 0o644, "gateway-key.pem": 0o600}


def test_a_client_certificate_serves_nobody(folder: Path) -> None:
    certs("issue", folder, "gateway", "--use", "client")
    certs("issue", folder, "gpu-1", "--use", "server")
    shake_hands(server_context(folder, "gpu-1"), client_context(folder, "gateway"), "gpu-1")
    with pytest.raises(ssl.SSLCertVerificationError, match="purpose"):
        shake_hands(server_context(folder, "gateway"), client_context(folder, "gateway"), "gateway")
    with pytest.raises(ssl.SSLError, match="purpose"):
        shake_hands(server_context(folder, "gpu-1"), client_context(folder, "gpu-1"), "gpu-1")


def test_only_what_expires_soon_is_renewed_under_its_names(folder: Path) -> None:
    certs("issue", folder, "gateway", "--use", "client", "--days", "400")
    certs("issue", folder, "gpu-1=stt-worker,10.0.0.5", "--days", "90", now=NOW - 61 * DAY)
    before = {name: (folder / name).read_bytes() for name in ("gateway.pem", "gpu-1.pem", "gpu-1-key.pem")}
    assert certs("renew", folder, now=NOW - 50 * DAY) == "nothing is due\n"
    assert certs("renew", folder).startswith("gpu-1  expires ")
    after = {name: (folder / name).read_bytes() for name in before}
    assert [name for name in before if before[name] != after[name]] == ["gpu-1.pem", "gpu-1-key.pem"]
    renewed = x509.load_pem_x509_certificate(after["gpu-1.pem"])
    assert renewed.not_valid_after_utc >= NOW + 364 * DAY
    shake_hands(server_context(folder, "gpu-1"), client_context(folder, "gateway"), "10.0.0.5")


def test_one_can_be_renewed_by_name(folder: Path) -> None:
    certs("issue", folder, "a", "b")
    before = (folder / "b.pem").read_bytes()
    assert certs("renew", folder, "a").startswith("a  expires ")
    assert (folder / "b.pem").read_bytes() == before
    with pytest.raises(ConfigError, match="no certificate of c"):
        certs("renew", folder, "a", "c")


def test_a_ca_without_its_key_issues_nothing_more(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    said = certs("init", folder, "gateway", "stt-worker", "--forget-key")
    assert "its key is not kept" in said
    assert not (folder / "ca-key.pem").exists()
    shake_hands(server_context(folder, "stt-worker"), client_context(folder, "gateway"), "stt-worker")
    with pytest.raises(ConfigError, match="the CA's key was not kept"):
        certs("issue", folder, "gpu-2")
    with pytest.raises(ConfigError, match="name all certificates"):
        certs("init", tmp_path / "other", "--forget-key")


def test_no_certificate_outlives_its_ca(folder: Path, tmp_path: Path) -> None:
    short = tmp_path / "short"
    certs("init", short, "--ca-days", "100")
    certs("issue", short, "a")
    found = x509.load_pem_x509_certificate((short / "a.pem").read_bytes())
    assert found.not_valid_after_utc <= NOW + 100 * DAY
    assert "the CA itself expires on" in certs("renew", short, "a")
    with pytest.raises(ConfigError, match="expired on"):
        certs("issue", short, "b", now=NOW + 101 * DAY)


def test_the_list_says_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    certs("issue", folder, "a", "--days", "5")
    certs("init", tmp_path / "other", "b")
    for name in ("b.pem", "b-key.pem"):
        (folder / name).write_bytes((tmp_path / "other" / name).read_bytes())
    (folder / "notes.pem").write_text("not a certificate")
    listed = certs("list", folder, now=NOW + 6 * DAY)
    lines = {line.split()[0]: line for line in listed.splitlines()}
    assert set(lines) == {"NAME", "ca", "a", "b"}
    assert "(expired)" in lines["a"]
    assert "(another CA)" in lines["b"]
    assert certs("renew", folder, now=NOW + 6 * DAY).count("expires") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["issue", "FOLDER", "bad name"], "cannot name a certificate"),
        (["issue", "FOLDER", "ca"], "cannot name a certificate"),
        (["issue", "FOLDER", "../x"], "cannot name a certificate"),
        (["issue", "FOLDER", "x=ü.example"], "neither a DNS name nor an IP address"),
        (["issue", "FOLDER", "x="], "neither a DNS name nor an IP address"),
        (["issue", "FOLDER", "x=a,,b"], "neither a DNS name nor an IP address"),
        (["init", "FOLDER"], "has a CA already"),
        (["issue", "FOLDER/none", "x"], "make a CA with `init"),
        (["list", "FOLDER/none"], "make a CA with `init"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(folder: Path, arguments: list[str], message: str) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(ConfigError, match=message):
        certs(*(argument.replace("FOLDER", str(folder)) for argument in arguments))
    assert sorted(folder.iterdir()) == before


def test_an_existing_certificate_is_replaced_only_when_asked(folder: Path) -> None:
    certs("issue", folder, "gpu-1")
    with pytest.raises(ConfigError, match="--replace"):
        certs("issue", folder, "gpu-0", "gpu-1=stt-worker")
    assert not (folder / "gpu-0.pem").exists()
    certs("issue", folder, "gpu-1=stt-worker", "--replace")
    assert certs("list", folder).splitlines()[-1].endswith("stt-worker")


def test_a_key_that_others_can_read_is_not_used(folder: Path) -> None:
    (folder / "ca-key.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        certs("issue", folder, "a")


def test_a_key_of_another_ca_is_not_used(folder: Path, tmp_path: Path) -> None:
    certs("init", tmp_path / "other")
    (folder / "ca-key.pem").write_bytes((tmp_path / "other" / "ca-key.pem").read_bytes())
    with pytest.raises(ConfigError, match="is not the key of"):
        certs("issue", folder, "a")
    (folder / "ca-key.pem").write_text("garbage")
    with pytest.raises(ConfigError, match="not a usable key"):
        certs("issue", folder, "a")


def test_the_command_has_a_status_and_one_line(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "talkup_client", "certs", "list", str(tmp_path)]
    failed = subprocess.run(program, env=child_environment({}), capture_output=True, text=True, check=False, timeout=30)
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1)
    assert "make a CA with `init" in failed.stderr
