"""`make bench-vision` and its parts."""
