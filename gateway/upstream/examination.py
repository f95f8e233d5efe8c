"""Looks at a worker's address with a socket of its own, to find the cause that gRPC does not tell.

gRPC reports "Socket closed" when a plaintext channel meets TLS and when a worker refuses the gateway's certificate.
With TLS 1.3 the client's handshake is over before the server has looked at the certificate (RFC 8446 4.4). Therefore
the examination waits for the first byte after it, which an HTTP/2 server sends at once (RFC 9113 3.4). It sends no
request, no token and no media. It blocks, so it runs in a thread; diagnosis.py bounds how often.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import Final

from gateway.upstream.causes import Cause
from gateway.upstream.config import TlsSettings
from settings.network import host_of

# OpenSSL's X509_V_ERR codes.
_VERIFY_CODES: Final = {
    7: Cause.TLS_UNKNOWN_CA,  # the signature does not fit
    9: Cause.TLS_NOT_YET_VALID,
    10: Cause.TLS_EXPIRED,
    18: Cause.TLS_UNKNOWN_CA,  # self-signed
    19: Cause.TLS_UNKNOWN_CA,
    20: Cause.TLS_UNKNOWN_CA,
    21: Cause.TLS_UNKNOWN_CA,
    62: Cause.TLS_WRONG_NAME,
    64: Cause.TLS_WRONG_NAME,
}
# Alerts by which a server speaks about the client's certificate (RFC 8446 6.2), in OpenSSL's names of reasons.
_CERTIFICATE_ALERTS: Final = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
)
_NOT_TLS: Final = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")


def examine(target: str, authority: str | None, tls: TlsSettings, seconds: float) -> Cause:
    """Connect to `host:port` as the gateway's channels do, for at most `seconds`, and say what is wrong there.

    NO_ANSWER if the host accepts the connection but says nothing, FAILED if nothing is wrong with the connection.
    Raises nothing.
    """
    until = time.monotonic() + seconds
    host, port = host_of(target), int(target.rpartition(":")[2])
    try:
        raw = socket.create_connection((host, port), seconds)
    except (socket.gaierror, UnicodeError):  # UnicodeError: a name that IDNA does not allow
        return Cause.NAME_NOT_FOUND
    except ConnectionRefusedError:
        return Cause.CONNECTION_REFUSED
    except OSError:
        return Cause.UNREACHABLE
    with raw:
        try:
            raw.settimeout(_left(until))
            if tls.root_ca is None:
                return _without_tls(raw)
            return _with_tls(raw, authority or host, tls, until)
        except TimeoutError:
            return Cause.NO_ANSWER
        except OSError:
            return Cause.CONNECTION_CLOSED


def _without_tls(raw: socket.socket) -> Cause:
    """Whether the server that closes plaintext connections speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # nothing is sent over this connection; whose certificate it is does not matter
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with context.wrap_socket(raw):
            return Cause.TLS_EXPECTED
    except ssl.SSLError as error:
        return Cause.TLS_EXPECTED if "ALERT" in (error.reason or "") else Cause.CONNECTION_CLOSED


def _with_tls(raw: socket.socket, name: str, tls: TlsSettings, until: float) -> Cause:
    try:
        context = ssl.create_default_context(cafile=str(tls.root_ca))
        context.set_alpn_protocols(["h2"])
        if tls.client_cert is not None:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(tls.client_cert, tls.client_key, password="")
    except OSError:  # ssl.SSLError is one
        return Cause.TLS_FAILED  # the gateway's own files cannot be used
    refused = Cause.CLIENT_CERTIFICATE_MISSING if tls.client_cert is None else Cause.CLIENT_CERTIFICATE_REFUSED
    try:
        wrapped = context.wrap_socket(raw, server_hostname=name)
    except ssl.SSLCertVerificationError as error:
        return _VERIFY_CODES.get(error.verify_code, Cause.TLS_FAILED)
    except ssl.SSLError as error:
        return _of_handshake(error.reason or "", refused)
    with wrapped:
        wrapped.settimeout(_left(until))
        try:
            return Cause.FAILED if wrapped.recv(1) else refused
        except ConnectionResetError:
            return refused
        except ssl.SSLError as error:
            return _of_handshake(error.reason or "", refused)


def _of_handshake(reason: str, refused: Cause) -> Cause:
    if any(alert in reason for alert in _CERTIFICATE_ALERTS):
        return refused
    return Cause.PLAINTEXT_EXPECTED if any(mark in reason for mark in _NOT_TLS) else Cause.TLS_FAILED


def _left(until: float) -> float:
    return max(0.001, until - time.monotonic())
