"""What is known of the face networks, and how one is read from a verified file and checked by its own output.

Two readers give the same numbers: OpenCV's, always there, and LiteRT's, two to three times faster, an optional extra.
An importer of OpenCV's gave silently wrong numbers on one model: therefore every network runs on a known picture at
start-up and must give the numbers written here (computed once, the detector's faces on real portraits looked at by
eye), whoever reads it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TOLERANCE: Final = 1e-3
"""Relative to the largest expected number; room for another processor's rounding, none for another network's output."""


class NetError(Exception):
    """A network that cannot be read or does not compute what it should; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class NetSpec:
    """What is known of a network: the side of its square input, its outputs by name, and their golden numbers.

    `golden`: for each output, its mean, its standard deviation, and its first, middle and last number.
    """

    name: str
    side: int
    outputs: tuple[str, ...]
    golden: tuple[tuple[float, ...], ...]


DETECTOR: Final = NetSpec(
    "face_detection_full_range",
    192,
    ("reshaped_classifier_face_4", "reshaped_regressor_face_4"),
    ((-4.23517, 1.21028, -5.97625, -3.39384, -9.11646), (2.099, 16.40657, -3.56836, -0.6624, -7.1588)),
)
MESH: Final = NetSpec(
    "face_landmark",
    192,
    ("conv2d_30", "conv2d_20"),
    ((-10.58414, 0.0, -10.58414, -10.58414, -10.58414), (72.22927, 56.71784, 116.6326, 57.95496, 8.40431)),
)
IRIS: Final = NetSpec(
    "iris_landmark",
    64,
    ("output_eyes_contours_and_brows", "output_iris"),
    ((21.76929, 17.34611, 24.55198, 43.69338, -15.96995), (16.25857, 24.70339, 29.13769, 33.53991, -18.26665)),
)
SPECS: Final[Mapping[str, NetSpec]] = {spec.name: spec for spec in (DETECTOR, MESH, IRIS)}


class Net(Protocol):
    """One network, for one thread at a time."""

    @property
    def spec(self) -> NetSpec: ...

    def run(self, picture: Floats) -> Sequence[Floats]:
        """The outputs for a picture of shape (side, side, 3), RGB, in the network's own range; each of shape (n,).

        Raises NetError where the library fails.
        """
        ...


Reader = Callable[[NetSpec, Path], Net]
"""Makes a network of a file. Raises NetError."""

READERS: Final[Mapping[str, str]] = {"opencv": "workers.vision.opencv_net", "litert": "workers.vision.litert_net"}
"""Where each reader's `read` lives; loaded only when asked for, with the library it needs."""


def reader(name: str) -> Reader:
    """A reader by its name. Raises NetError where its library is not installed."""
    try:
        module = importlib.import_module(READERS[name])
    except ModuleNotFoundError as error:
        raise NetError(f"{name} is not installed here (litert: extra vision-litert): no {error.name}") from None
    return cast("Reader", module.read)


def load(spec: NetSpec, path: Path, read: Reader) -> Net:
    """A verified network. Raises NetError when it cannot be read or fails its golden check."""
    net = read(spec, path)
    for name, output, expected in zip(spec.outputs, net.run(probe(spec.side)), spec.golden, strict=True):
        check(f"{spec.name}, output {name}", output, expected)
    return net


def probe(side: int) -> Floats:
    """The known picture: three gratings between 0 and 1, shape (side, side, 3)."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / np.float32(side)
    waves = [np.sin(6 * x + 2 * y), np.cos(4 * y - 3 * x), np.sin(9 * x * y)]
    return np.stack([0.5 + 0.5 * wave for wave in waves], axis=-1).astype(np.float32)


def digest(output: Floats) -> tuple[float, ...]:
    """The numbers of an output that the golden check compares."""
    picked = (output.mean(), output.std(), output[0], output[len(output) // 2], output[-1])
    return tuple(float(number) for number in picked)


def check(name: str, output: Floats, expected: Sequence[float]) -> None:
    """Raises NetError when an output differs from the expected one."""
    found = digest(output)
    scale = max(1.0, *map(abs, expected))
    if not all(abs(a - b) <= _TOLERANCE * scale for a, b in zip(found, expected, strict=True)):
        raise NetError(f"{name}: the network computes other numbers than it should on this machine; not used")


def to_unit(picture: NDArray[np.uint8]) -> Floats:
    """A picture's 0 to 255 as 0 to 1."""
    values: Floats = picture.astype(np.float32)
    values *= np.float32(1 / 255)
    return values


def to_signed(picture: NDArray[np.uint8]) -> Floats:
    """A picture's 0 to 255 as -1 to 1."""
    values: Floats = picture.astype(np.float32)
    values *= np.float32(1 / 127.5)
    values -= np.float32(1)
    return values
