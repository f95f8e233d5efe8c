"""Wyoming, the protocol of Home Assistant: events over TCP, at a port of its own."""
