"""A scripted engine for tests, demos and drills: deterministic words from the bytes it receives, no model."""
