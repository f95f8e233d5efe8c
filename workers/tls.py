"""Server credentials from PEM files, re-read when they change: certificates rotate without a restart."""

from __future__ import annotations

import grpc
import structlog

from settings.errors import ConfigError
from workers.config import TlsFiles

_log = structlog.get_logger()


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """TLS, or mutual TLS where `client_ca` is set. Raises ConfigError for unreadable files."""
    watch = _CertificateWatch(files)
    return grpc.dynamic_ssl_server_credentials(
        watch.first,
        watch.newer,  # type: ignore[arg-type]  # None means unchanged, which the stubs leave out
        require_client_authentication=files.client_ca is not None,
    )


class _CertificateWatch:
    """Supplies gRPC with certificates at each handshake; unreadable files leave the old ones in force."""

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


def _configuration(key: bytes, cert: bytes, client_ca: bytes | None) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key, cert)], client_ca)
