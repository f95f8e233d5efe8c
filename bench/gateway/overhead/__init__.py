"""What the gateway itself costs, against raw echoes and plain bridges: part `overhead` of `make bench-gateway`."""
