"""A folder with a CA and what it has issued: `ca.pem` and `ca-key.pem`; `NAME.pem` and `NAME-key.pem` of each host."""

from __future__ import annotations

import datetime as dt
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.certificates import authority as x509
from gateway.certificates.authority import Authority, Certificate, Subject, Use

_CA: Final = "ca"
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?"
_DNS_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*")
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class FolderError(Exception):
    """What cannot be done, with what to do about it; for a person."""


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate of the folder. `name`: of its files; `valid`: signed by the folder's CA."""

    name: str
    subject: Subject
    expires: dt.datetime
    valid: bool


class CertificateFolder:
    """The folder at `path`. Every method raises FolderError for what a person has to change, OSError for the system."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def create(self, name: str, lifetime: dt.timedelta, now: dt.datetime, *, keep_key: bool) -> Authority:
        """Make a CA. Its key is written only if it is to be kept."""
        if self._certificate(_CA).exists():
            raise FolderError(f"{self._path} has a CA already; `issue` and `renew` use it")
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = x509.make_authority(name, lifetime, now)
        if keep_key:
            x509.write(self._key(_CA), x509.key_pem(made.key), mode=0o600)
        x509.write(self._certificate(_CA), x509.certificate_pem(made.certificate), mode=0o644)
        return made

    def authority(self, now: dt.datetime) -> Authority:
        """The CA with its key, both read from the folder and checked."""
        certificate = self._read_ca()
        key = self._key(_CA)
        if not key.exists():
            raise FolderError(f"{key} is not here: the CA's key was not kept, so only a new CA can issue certificates")
        if key.stat().st_mode & _OTHERS:
            raise FolderError(f"{key} is readable or writable by others: chmod 600 {key}")
        try:
            private = x509.read_key(key)
        except ValueError as error:
            raise FolderError(f"{key} is not a usable key: {error}") from None
        if private.public_key() != certificate.public_key():
            raise FolderError(f"{key} is not the key of {self._certificate(_CA)}")
        if certificate.not_valid_after_utc <= now:
            raise FolderError(f"{self._certificate(_CA)} expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
        return Authority(certificate, private)

    def issue(self, signer: Authority, subject: Subject, lifetime: dt.timedelta, now: dt.datetime) -> Issued:
        """Issue a certificate with a new key, in place of an earlier one of that name."""
        certificate, key = x509.issue(signer, subject, lifetime, now)
        x509.write(self._key(subject.name), x509.key_pem(key), mode=0o600)
        x509.write(self._certificate(subject.name), x509.certificate_pem(certificate), mode=0o644)
        return Issued(subject.name, subject, certificate.not_valid_after_utc, valid=True)

    def check_free(self, names: Sequence[str]) -> None:
        """Raise FolderError if one of these names has a certificate here already."""
        for name in names:
            if self._certificate(name).exists():
                raise FolderError(f"{self._certificate(name)} exists: `renew` it, or replace it with --replace")

    def issued(self) -> list[Issued]:
        """The certificates of hosts, by name. Other files are ignored."""
        return list(self._find())

    def ca_expires(self) -> dt.datetime:
        """When the CA expires."""
        return self._read_ca().not_valid_after_utc

    def _find(self) -> Iterator[Issued]:
        ca = self._read_ca()
        for path in sorted(self._path.glob("*.pem")):
            if path.stem == _CA or path.stem.endswith("-key"):
                continue
            try:
                certificate = x509.read_certificate(path)
                subject = x509.subject_of(certificate)
            except ValueError:
                continue
            yield Issued(path.stem, subject, certificate.not_valid_after_utc, x509.is_signed_by(certificate, ca))

    def _read_ca(self) -> Certificate:
        path = self._certificate(_CA)
        try:
            return x509.read_certificate(path)
        except FileNotFoundError:
            raise FolderError(f"{path} is not here: make a CA with `init {self._path}`") from None
        except ValueError:
            raise FolderError(f"{path} holds no certificate") from None

    def _certificate(self, name: str) -> Path:
        return self._path / f"{name}.pem"

    def _key(self, name: str) -> Path:
        return self._path / f"{name}-key.pem"


def parse_subject(text: str, use: Use) -> Subject:
    """`NAME`, or `NAME=SAN,SAN` with all the names that it is to be known by. Raises FolderError."""
    name, separator, given = text.partition("=")
    if not _FILE_NAME.fullmatch(name) or name == _CA or name.endswith("-key"):
        raise FolderError(f"{name!r} cannot name a certificate: letters, digits, dots and hyphens; not ca, not …-key")
    names = tuple(each.strip() for each in given.split(",")) if separator else (name,)
    for each in names:
        if not x509.is_address(each) and not _DNS_NAME.fullmatch(each):
            raise FolderError(f"{each!r} is neither a DNS name nor an IP address")
    return Subject(name, names, use)
