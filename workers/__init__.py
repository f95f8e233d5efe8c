"""The workers: engines behind the gRPC contract of `talkup.v1`."""

import os

# Read by numpy's OpenBLAS when it is first loaded. Its helper threads wait in a busy loop: next to the model's own
# threads they took a quarter of the CPU at 20 streams, for products of a few million operations.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Read by onnxruntime, which runs the voice detector, when it is first used. From version 1.29 on it reports processes
# and models to its vendor unless this is set, and keeps an identifier of the machine in the user's cache.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
# The same for the library that downloads models; it reports which ones.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
