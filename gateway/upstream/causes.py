"""Why a worker cannot be used: a closed set of causes, and which one an RPC's failure shows.

gRPC tells the causes of a failed connection only in the details of the status UNAVAILABLE. The marks below are those of
grpcio 1.85 (measured against real servers). Where the details say too little, gateway/upstream/examination.py looks at
the address itself. Details may hold anything, so they are compared with the marks here and go no further.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Cause(Enum):
    """A cause, with a sentence for the operator. The value's first part is the word for logs and clients."""

    CONNECTION_REFUSED = ("connection_refused", "nothing listens there: is the worker running, and on this port?")
    NAME_NOT_FOUND = ("name_not_found", "the worker's host name has no address: see the DNS, or correct the name")
    UNREACHABLE = ("unreachable", "the host cannot be reached: see the network and its firewalls")
    NO_ANSWER = ("no_answer", "the worker does not answer in time: it hangs, or its machine is overloaded")
    CONNECTION_CLOSED = ("connection_closed", "the connection is closed without a reason: is this a worker's port?")
    TLS_UNKNOWN_CA = ("tls_unknown_ca", "the worker's certificate is not from the CA in worker_ca")
    TLS_WRONG_NAME = (
        "tls_wrong_name",
        "the worker's certificate is for another name: set stt_worker_name or vision_worker_name to the name in it",
    )
    TLS_EXPIRED = ("tls_expired", "the worker's certificate has expired")
    TLS_NOT_YET_VALID = ("tls_not_yet_valid", "the worker's certificate is not valid yet: see the clocks")
    TLS_FAILED = ("tls_failed", "the TLS handshake fails: the worker's or the gateway's certificates cannot be used")
    CLIENT_CERTIFICATE_MISSING = (
        "client_certificate_missing",
        "the worker ends TLS without the gateway's certificate: set worker_cert and worker_key",
    )
    CLIENT_CERTIFICATE_REFUSED = (
        "client_certificate_refused",
        "the worker does not take the gateway's certificate: it has expired, or is not from the worker's tls_client_ca",
    )
    CLIENT_NOT_ALLOWED = (
        "client_not_allowed",
        "the worker does not allow the name in the gateway's certificate: see its allowed_clients",
    )
    TOKEN_REFUSED = ("token_refused", "the worker does not take the gateway's token: compare worker_token and tokens")
    TLS_EXPECTED = ("tls_expected", "the worker expects TLS, the gateway speaks plaintext: set worker_ca")
    PLAINTEXT_EXPECTED = (
        "plaintext_expected",
        "the gateway speaks TLS, the worker does not: give the worker tls_cert and tls_key",
    )
    NOT_GRPC = ("not_grpc", "what answers there does not speak gRPC: correct the worker's address or port")
    WRONG_SERVICE = ("wrong_service", "what answers there is not a worker of this service: correct the address or port")
    NO_WORKER_BEHIND_PROXY = ("no_worker_behind_proxy", "a proxy answers, but it reaches no worker")
    FAILED = ("failed", "the worker fails to say what it is: see its log")
    LOADING = ("loading", "the worker is loading its model")
    DRAINING = ("draining", "the worker is shutting down")
    NOT_SERVING = ("not_serving", "the worker's health service says that it does not serve")
    NOT_ASKED_YET = ("not_asked_yet", "the gateway has not reached the worker yet")

    def __init__(self, word: str, advice: str) -> None:
        self.word = word
        self.advice = advice

    @property
    def is_vague(self) -> bool:
        """Whether looking at the address itself may find a better answer."""
        return self in _VAGUE

    @property
    def depth(self) -> int:
        """How far the connection got: 0 nobody was reached, 1 somebody was, 2 a gRPC server answered."""
        if self in _NOBODY_REACHED:
            return 0
        return 2 if self in _OF_STATUS.values() and self is not Cause.NO_ANSWER else 1


_NOBODY_REACHED: Final = frozenset({Cause.NAME_NOT_FOUND, Cause.CONNECTION_REFUSED, Cause.UNREACHABLE})
_VAGUE: Final = frozenset({Cause.CONNECTION_CLOSED, Cause.NO_ANSWER, Cause.UNREACHABLE})

_OF_STATUS: Final = {
    "UNAUTHENTICATED": Cause.TOKEN_REFUSED,
    "PERMISSION_DENIED": Cause.CLIENT_NOT_ALLOWED,
    "UNIMPLEMENTED": Cause.WRONG_SERVICE,
    "DEADLINE_EXCEEDED": Cause.NO_ANSWER,
}

# A part of gRPC's details -> the cause that it shows. The first that matches counts.
_MARKS: Final = (
    ("Received http2 header with status", Cause.NOT_GRPC),
    ("Failed parsing HTTP/2", Cause.NOT_GRPC),
    ("Hostname Verification Check failed", Cause.TLS_WRONG_NAME),
    ("WRONG_VERSION_NUMBER", Cause.PLAINTEXT_EXPECTED),
    ("certificate has expired", Cause.TLS_EXPIRED),
    ("certificate is not yet valid", Cause.TLS_NOT_YET_VALID),
    ("unable to get local issuer certificate", Cause.TLS_UNKNOWN_CA),
    ("self signed certificate", Cause.TLS_UNKNOWN_CA),
    ("self-signed certificate", Cause.TLS_UNKNOWN_CA),
    ("unable to verify the first certificate", Cause.TLS_UNKNOWN_CA),
    ("certificate signature failure", Cause.TLS_UNKNOWN_CA),
    ("Tls handshake failed", Cause.TLS_FAILED),
    ("errors resolving", Cause.NAME_NOT_FOUND),
    ("DNS resolution failed", Cause.NAME_NOT_FOUND),
    ("Domain name not found", Cause.NAME_NOT_FOUND),
    ("Connection refused", Cause.CONNECTION_REFUSED),
    ("No route to host", Cause.UNREACHABLE),
    ("Network is unreachable", Cause.UNREACHABLE),
    ("Host is unreachable", Cause.UNREACHABLE),
    ("timed out", Cause.UNREACHABLE),
    ("no healthy upstream", Cause.NO_WORKER_BEHIND_PROXY),
    ("upstream connect error", Cause.NO_WORKER_BEHIND_PROXY),
)


def cause_of(status: str, details: str) -> Cause:
    """The cause that the status of a failed call and its details show; CONNECTION_CLOSED if they tell nothing."""
    if status in ("UNAVAILABLE", "UNIMPLEMENTED", "UNKNOWN", "INTERNAL"):
        for mark, cause in _MARKS:
            if mark in details:
                return cause
    if status == "UNAVAILABLE":
        return Cause.CONNECTION_CLOSED
    return _OF_STATUS.get(status, Cause.FAILED)
