"""Server credentials from PEM files, re-read when they change: certificates rotate without a restart."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc
import structlog

from settings.errors import ConfigError
from workers.config import TlsFiles, WorkerConfig

_log = structlog.get_logger()


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """TLS, or mutual TLS where `client_ca` is set. Raises ConfigError for files that cannot be read or used.

    gRPC itself would only say that it cannot bind the port.
    """
    _check(files)
    watch = _CertificateWatch(files)
    return grpc.dynamic_ssl_server_credentials(
        watch.first,
        watch.newer,  # type: ignore[arg-type]  # None means unchanged, which the stubs leave out
        require_client_authentication=files.client_ca is not None,
    )


class _CertificateWatch:
    """Supplies gRPC with certificates at each handshake; while the files are unreadable, the old ones stay in use."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        try:
            self._contents = self._read()
        except OSError as error:
            raise ConfigError(f"tls: {error.filename}: {error.strerror}") from None
        self.first = _configuration(*self._contents)

    def newer(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificates if they have changed since the last call, else None. Called on gRPC's own threads."""
        try:
            contents = self._read()
        except OSError as error:
            _log.warning("certificates cannot be re-read", reason=error.strerror)
            return None
        if contents == self._contents:
            return None
        self._contents = contents
        _log.info("certificates re-read")
        return _configuration(*contents)

    def _read(self) -> tuple[bytes, bytes, bytes | None]:
        files = self._files
        client_ca = files.client_ca.read_bytes() if files.client_ca is not None else None
        return files.key.read_bytes(), files.cert.read_bytes(), client_ca


def _check(files: TlsFiles) -> None:
    """Raises SettingError, which names the setting and the file."""
    for name, path in (("tls_cert", files.cert), ("tls_key", files.key), ("tls_client_ca", files.client_ca)):
        if path is not None:
            try:
                path.read_bytes()
            except OSError as error:
                raise WorkerConfig.invalid(name, f"{path}: {error.strerror}") from None
    for name, path in (("tls_cert", files.cert), ("tls_client_ca", files.client_ca)):
        if path is not None and not _holds_certificates(path):
            raise WorkerConfig.invalid(name, f"{path} holds no certificate in PEM")
    try:
        # Without a password of our own, OpenSSL would ask at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.cert, files.key, password=str)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise WorkerConfig.invalid("tls_key", f"{files.key} is not the key of {files.cert}") from None
        raise WorkerConfig.invalid("tls_key", f"{files.key} holds no private key in PEM without a password") from None


def _holds_certificates(path: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def _configuration(key: bytes, cert: bytes, client_ca: bytes | None) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)
