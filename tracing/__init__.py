"""Traces of gateway and workers: what a span is, and the one place that imports OpenTelemetry."""
