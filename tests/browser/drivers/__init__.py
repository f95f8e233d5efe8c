"""Chromium, Firefox and WebKit behind one interface, each with its own fake microphone."""
