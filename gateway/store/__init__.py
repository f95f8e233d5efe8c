"""What outlives sockets and processes: finals, sessions and stream snapshots, in SQLite or Redis."""
