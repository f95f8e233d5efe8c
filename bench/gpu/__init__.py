"""What a GPU carries: see `bench.gpu.__main__`."""
