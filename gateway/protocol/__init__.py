"""The WebSocket protocol without I/O: messages in, actions out."""
