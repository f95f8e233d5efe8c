"""Benchmarks: every timed claim of the project is made and checked here, never in the tests."""
