"""`python -m gateway certs`: a private CA, certificates of hosts, and their renewal.

The CA's folder belongs on one trusted machine. A host gets `ca.pem` and its own two files, and nothing else.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from gateway.certificates.authority import Use
from gateway.certificates.folder import CertificateFolder, FolderError, Issued, parse_subject
from settings.errors import ConfigError

PROG: Final = "python -m gateway certs"
_USES: Final = {"both": Use.BOTH, "server": Use.SERVER, "client": Use.CLIENT}


def run(arguments: Sequence[str], now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> str:
    """Run a command; returns what to print. Raises ConfigError, OSError; `--help` prints and raises SystemExit."""
    options = _parser().parse_args(list(arguments))
    folder = CertificateFolder(options.folder)
    try:
        match options.command:
            case "init":
                return _init(folder, options, now())
            case "issue":
                return _issue(folder, options, now())
            case "renew":
                return _renew(folder, options, now())
            case _:
                return _list(folder, now())
    except FolderError as error:
        raise ConfigError(str(error)) from None


def _init(folder: CertificateFolder, options: argparse.Namespace, now: dt.datetime) -> str:
    subjects = [parse_subject(text, _USES[options.use]) for text in options.names]
    if options.forget_key and not subjects:
        raise FolderError("with --forget-key, name all certificates: there will be no further ones")
    made = folder.create(options.ca_name, _days(options.ca_days), now, keep_key=not options.forget_key)
    kept = "its key is not kept" if options.forget_key else f"keep {options.folder / 'ca-key.pem'} secret"
    said = f"ca  expires {made.certificate.not_valid_after_utc:%Y-%m-%d}; {kept}\n"
    return said + "".join(_told(folder.issue(made, subject, _days(options.days), now)) for subject in subjects)


def _issue(folder: CertificateFolder, options: argparse.Namespace, now: dt.datetime) -> str:
    subjects = [parse_subject(text, _USES[options.use]) for text in options.names]
    signer = folder.authority(now)
    if not options.replace:
        folder.check_free([subject.name for subject in subjects])
    return "".join(_told(folder.issue(signer, subject, _days(options.days), now)) for subject in subjects)


def _renew(folder: CertificateFolder, options: argparse.Namespace, now: dt.datetime) -> str:
    """With names, these are renewed whenever they expire; without, all that expire soon."""
    found = {issued.name: issued for issued in folder.issued()}
    if unknown := set(options.names) - set(found):
        raise FolderError(f"{options.folder} has no certificate of {', '.join(sorted(unknown))}")
    due = [issued for issued in found.values() if not issued.valid or issued.expires - now <= _days(options.within)]
    chosen = [found[name] for name in options.names] or due
    if not chosen:
        return "nothing is due\n"
    signer = folder.authority(now)
    subjects = [replace(issued.subject, name=issued.name) for issued in chosen]
    renewed = [folder.issue(signer, subject, _days(options.days), now) for subject in subjects]
    said = "".join(_told(issued) for issued in renewed)
    if signer.certificate.not_valid_after_utc - now <= _days(options.days):
        said += f"the CA itself expires on {signer.certificate.not_valid_after_utc:%Y-%m-%d}: plan a new one\n"
    return said


def _list(folder: CertificateFolder, now: dt.datetime) -> str:
    rows = [("NAME", "USE", "EXPIRES", "NAMES"), ("ca", "signs", f"{folder.ca_expires():%Y-%m-%d}", "")]
    for issued in folder.issued():
        expires = f"{issued.expires:%Y-%m-%d}"
        if not issued.valid:
            expires += " (another CA)"
        elif issued.expires <= now:
            expires += " (expired)"
        rows.append((issued.name, issued.subject.use.name.lower(), expires, ",".join(issued.subject.names)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]).rstrip() + "\n"
        for row in rows
    )


def _told(issued: Issued) -> str:
    return f"{issued.name}  expires {issued.expires:%Y-%m-%d}  {','.join(issued.subject.names)}\n"


def _days(days: int) -> dt.timedelta:
    return dt.timedelta(days=days)


def _parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog=PROG, description=__doc__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("folder", type=Path, metavar="FOLDER", help="the CA's folder")
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--days", type=_positive, default=365, help="how long a certificate is valid (365)")
    made.add_argument("--use", choices=_USES, default="both", help="at which end it may be shown (both)")
    init = commands.add_parser("init", parents=[where, made], help="make a CA, and certificates if any are named")
    init.add_argument("names", nargs="*", metavar="NAME[=SAN,SAN]", help="as for `issue`")
    init.add_argument("--forget-key", action="store_true", help="do not keep the CA's key: no further certificates")
    init.add_argument("--ca-name", default="TalkUp CA", help="the CA's own name")
    init.add_argument("--ca-days", type=_positive, default=3_650, help="how long the CA is valid (3650)")
    issue = commands.add_parser("issue", parents=[where, made], help="sign certificates, each with a key of its own")
    issue.add_argument(
        "names",
        nargs="+",
        metavar="NAME[=SAN,SAN]",
        help="name of the files; its DNS names and addresses (its own name)",
    )
    issue.add_argument("--replace", action="store_true", help="also where a certificate of that name exists")
    renew = commands.add_parser("renew", parents=[where], help="sign the same names again, with new keys")
    renew.add_argument("names", nargs="*", metavar="NAME", help="which (all that expire soon)")
    renew.add_argument("--within", type=_positive, default=30, metavar="DAYS", help="what counts as soon (30)")
    renew.add_argument("--days", type=_positive, default=365, help="how long a certificate is valid (365)")
    commands.add_parser("list", parents=[where], help="what there is, and when it expires")
    return root


def _positive(text: str) -> int:
    days = int(text) if text.isascii() and text.isdecimal() else 0
    if not 0 < days <= 36_500:
        raise argparse.ArgumentTypeError("must be 1 to 36500 days")
    return days
