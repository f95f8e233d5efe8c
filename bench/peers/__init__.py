"""`make bench-peers` and its parts."""
