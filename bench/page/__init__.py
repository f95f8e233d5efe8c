"""`make bench-page` and its parts."""
