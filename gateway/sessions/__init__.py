"""Running sessions: each connects its sockets, its worker streams and the store."""
