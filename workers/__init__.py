"""The workers: engines behind the gRPC contract of `talkup.v1`."""
