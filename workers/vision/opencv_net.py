"""The door to cv2.dnn: a face network as OpenCV reads and runs it.

OpenCV's default engine keeps only the last output of these files: therefore the classic one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from workers.vision.nets import Floats, NetError, NetSpec

cv2.setNumThreads(1)


class OpenCvNet:
    """See `workers.vision.nets.Net`."""

    def __init__(self, spec: NetSpec, path: Path) -> None:
        self.spec = spec
        self._net = cv2.dnn.readNetFromTFLite(str(path), cv2.dnn.ENGINE_CLASSIC)

    def run(self, picture: Floats) -> Sequence[Floats]:
        """See `workers.vision.nets.Net`; planes are put before rows for OpenCV. Raises NetError."""
        try:
            self._net.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1))[np.newaxis])
            outputs = self._net.forward(self.spec.outputs)
        except cv2.error as error:
            raise NetError(f"{self.spec.name}: the network cannot be run") from error
        return [np.asarray(output, dtype=np.float32).reshape(-1) for output in outputs]


def read(spec: NetSpec, path: Path) -> OpenCvNet:
    """See `workers.vision.nets.Reader`."""
    try:
        return OpenCvNet(spec, path)
    except cv2.error as error:
        raise NetError(f"{spec.name}: {path} cannot be read as a network") from error
