"""Health check of a worker's container: grpc.health.v1, over TLS if the worker has certificates.

It reads the worker's own settings, so one file works for every container. WORKER_HEALTH_NAME is the name in the
worker's certificate (default: localhost). Exits with 0 if the worker is SERVING.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

TIMEOUT_S = 4.0
# A proxy that the environment names is for other machines.
OPTIONS = (("grpc.enable_http_proxy", 0),)


def channel(environment: Mapping[str, str]) -> grpc.Channel:
    """A channel to the worker on this host; the worker's own certificate also serves as the client's."""
    target = f"localhost:{environment.get('WORKER_PORT', '50051')}"
    certificate, key = environment.get("WORKER_TLS_CERT"), environment.get("WORKER_TLS_KEY")
    if not certificate or not key:
        return grpc.insecure_channel(target, options=OPTIONS)
    authority = environment.get("WORKER_TLS_CLIENT_CA", certificate)
    credentials = grpc.ssl_channel_credentials(
        Path(authority).read_bytes(), Path(key).read_bytes(), Path(certificate).read_bytes()
    )
    name = environment.get("WORKER_HEALTH_NAME", "localhost")
    return grpc.secure_channel(target, credentials, options=(*OPTIONS, ("grpc.ssl_target_name_override", name)))


def is_serving(environment: Mapping[str, str]) -> bool:
    """Whether the worker answers SERVING in time."""
    with channel(environment) as open_channel:
        stub = health_pb2_grpc.HealthStub(open_channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if is_serving(os.environ) else 1)
