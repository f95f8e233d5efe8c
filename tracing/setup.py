"""Turns traces on where a collector is configured. Without one, OpenTelemetry is not even imported."""

from __future__ import annotations

import os
from typing import Final

from settings.errors import ConfigError
from tracing.spans import NO_TRACER, Tracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def open_tracer(service: str, version: str, endpoint: str) -> Tracer:
    """A tracer that exports to `endpoint` (OTLP over gRPC, such as http://collector:4317), or records nothing.

    Empty: the endpoint that the standard variables of OpenTelemetry name, if any. The library reads its other variables
    itself: headers, certificates, sampler, batches. `service` names this process unless OTEL_SERVICE_NAME does. Raises
    ConfigError if the library is not installed.
    """
    named = endpoint or next((value for name in _ENDPOINTS if (value := os.environ.get(name))), "")
    if not named or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return NO_TRACER
    if "@" in named:
        raise ConfigError("the endpoint of traces must hold no credentials: OTEL_EXPORTER_OTLP_HEADERS sends them")
    try:
        from tracing.otel import OtelTracer  # noqa: PLC0415 - an extra, loaded only when configured
    except ModuleNotFoundError as error:
        raise ConfigError(f"traces need the extra `traces`: no module {error.name}") from None
    return OtelTracer.exporting(os.environ.get("OTEL_SERVICE_NAME") or service, version, named)
