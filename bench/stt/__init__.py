"""`make bench-stt` and its parts."""
