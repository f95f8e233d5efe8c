"""Benchmarks. They measure and check every claim about time; tests never do."""

import workers

__all__ = ["workers"]
"""Imported first, since it limits the threads of numpy's libraries."""
