"""`python -m bench.grounds`: gateway, workers and `talkup` where something that they usually find is missing."""
