"""A scripted engine for tests, demos and failures on demand: words from the bytes received, no model."""
