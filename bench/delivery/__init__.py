"""Benchmarks of the delivery service: what it measures, against sound whose truth is known by construction."""
