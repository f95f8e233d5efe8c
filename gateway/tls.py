"""The TLS context of wss, which re-reads its certificate when the files change."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import structlog

log = structlog.get_logger()

# Authenticated encryption with forward secrecy (RFC 9325 4.2); every suite of TLS 1.3 is of this kind.
_TLS12_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServerTls:
    """A certificate chain and its key (PEM), served by `context`; certificates can be rotated without a restart.

    Raises ssl.SSLError or OSError for a certificate or key that cannot be used.
    """

    def __init__(self, certificate: Path, key: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._version = self._read_version()
        self.context = self._load()

    def renew(self) -> bool:
        """Use the current files for new handshakes if they have changed; returns whether they have.

        While the files are invalid or half written, the old certificate stays in use.
        """
        try:
            version = self._read_version()
            if version == self._version:
                return False
            self._load()  # OpenSSL drops the old key as soon as it reads a new certificate: try the files first
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            log.warning("certificate not re-read", reason=type(error).__name__)
            return False
        self._version = version
        log.info("certificate re-read")
        return True

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_TLS12_CIPHERS)
        context.load_cert_chain(self._certificate, self._key)
        return context

    def _read_version(self) -> tuple[tuple[int, int], ...]:
        """A value that changes whenever a file does: modification times (ns) and sizes."""
        stats = [path.stat() for path in (self._certificate, self._key) if path is not None]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)
