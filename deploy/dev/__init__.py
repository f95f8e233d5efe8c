"""The development stack: everything that `make run` needs and production does not."""
