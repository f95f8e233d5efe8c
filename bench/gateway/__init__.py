"""`make bench-gateway` and its parts."""
