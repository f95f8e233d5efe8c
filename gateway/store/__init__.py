"""The data that outlive sockets and processes: finals, sessions and stream snapshots, in SQLite or Redis."""
