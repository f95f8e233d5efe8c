"""The door to LiteRT: runs a face network in its makers' own runtime, on one thread.

Measured against OpenCV on one core of the same machine: 2.2 to 2.7 times faster, no output further than 1.1e-4 away.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from workers.vision.nets import Floats, NetError, NetSpec


class LiteRtNet:
    """See `workers.vision.nets.Net`. Raises KeyError where the file has not the outputs of the spec."""

    def __init__(self, spec: NetSpec, path: Path) -> None:
        self.spec = spec
        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._input: int = self._interpreter.get_input_details()[0]["index"]
        places = {detail["name"]: detail["index"] for detail in self._interpreter.get_output_details()}
        self._outputs = [places[name] for name in spec.outputs]

    def run(self, picture: Floats) -> Sequence[Floats]:
        """See `workers.vision.nets.Net`. Raises NetError."""
        try:
            self._interpreter.set_tensor(self._input, picture[np.newaxis])
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise NetError(f"{self.spec.name}: the network cannot be run") from error
        return [np.asarray(self._interpreter.get_tensor(place)).reshape(-1) for place in self._outputs]


def read(spec: NetSpec, path: Path) -> LiteRtNet:
    """See `workers.vision.nets.Reader`."""
    try:
        return LiteRtNet(spec, path)
    except (ValueError, RuntimeError, KeyError) as error:
        raise NetError(f"{spec.name}: {path} cannot be read as a network") from error
