"""Asks the gateway of this container whether it lives: GET /healthz on this host, past any proxy of the environment.

It reads the gateway's own settings of host and port. Exit status 0 for 200.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

TIMEOUT_S = 2.0
# Where a gateway that listens on every address is reached.
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def is_alive(environment: Mapping[str, str]) -> bool:
    """Whether the gateway answers 200 in time."""
    host = environment.get("GATEWAY_HTTP_HOST", "")
    port = int(environment.get("GATEWAY_HTTP_PORT") or 8080)
    connection = http.client.HTTPConnection(_LOOPBACK.get(host, host), port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if is_alive(os.environ) else 1)
