"""The certificate of wss: it follows its files, and stays in use while they are invalid."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from deploy.dev import certs
from gateway.tls import ServerTls

NOW = dt.datetime.now(dt.UTC)


def identity(folder: Path) -> certs.Identity:
    return certs.ensure(folder, {"localhost": certs.LOOPBACK_NAMES}, NOW)["localhost"]


def served(context: ssl.SSLContext) -> bytes | None:
    """The certificate (DER) that an in-memory handshake receives."""
    asking = ssl.create_default_context()
    asking.check_hostname, asking.verify_mode = False, ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client, server = asking.wrap_bio(down, up), context.wrap_bio(up, down, server_side=True)
    for side in (client, server, client):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return client.getpeercert(binary_form=True)


def on_disk(files: certs.Identity) -> bytes:
    return x509.load_pem_x509_certificate(files.certificate.read_bytes()).public_bytes(Encoding.DER)


def test_a_renewed_certificate_is_served_once_both_files_are_complete(tmp_path: Path) -> None:
    files, newer = identity(tmp_path / "old"), identity(tmp_path / "new")
    tls = ServerTls(files.certificate, files.key)
    first = on_disk(files)
    assert served(tls.context) == first
    assert not tls.renew()
    files.certificate.write_bytes(newer.certificate.read_bytes())
    with structlog.testing.capture_logs() as lines:
        assert not tls.renew()
    assert [line["event"] for line in lines] == ["certificate not re-read"]
    assert served(tls.context) == first
    files.key.write_bytes(newer.key.read_bytes())
    assert tls.renew()
    assert served(tls.context) == on_disk(newer)


def test_missing_files_change_nothing(tmp_path: Path) -> None:
    files = identity(tmp_path)
    tls = ServerTls(files.certificate, files.key)
    first = on_disk(files)
    files.key.unlink()
    assert not tls.renew()
    assert served(tls.context) == first


def test_an_invalid_certificate_is_refused(tmp_path: Path) -> None:
    files = identity(tmp_path)
    files.certificate.write_text("nothing")
    with pytest.raises(ssl.SSLError):
        ServerTls(files.certificate, files.key)
