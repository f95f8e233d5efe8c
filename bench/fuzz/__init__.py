"""Fuzzing of what reads bytes from outside: mutated inputs, guided by the lines of code that they reach."""
