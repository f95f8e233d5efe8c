"""Starts real stacks, injects faults and measures; shared by benchmarks and tests."""
