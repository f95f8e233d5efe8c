"""Decoders in locked-down child processes: the pool, its children, and how they talk."""
