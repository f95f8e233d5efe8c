"""Benchmarks: every timed claim of the project is made and checked here, never in the tests."""

import workers

__all__ = ["workers"]
"""Loaded first: it sets how many threads numpy's libraries may start."""
