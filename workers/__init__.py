"""The workers: engines behind the gRPC contract of `talkup.v1`."""

import os

# Read by numpy's OpenBLAS when it is first loaded. Its helper threads wait in a busy loop: beside the model's own
# threads they took a quarter of the CPU at 20 streams, for products of a few million operations.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
