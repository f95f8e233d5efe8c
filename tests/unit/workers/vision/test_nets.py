"""The readers of the face networks: networks with other numbers are refused, and all readers give the same numbers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.workers.vision import faces
from workers.models import ModelError
from workers.vision.analyzer import Analyzer, Wanted
from workers.vision.face_reader import FaceNets
from workers.vision.nets import DETECTOR, IRIS, MESH, READERS, NetError, NetSpec, digest, load, probe, reader
from workers.vision.service import create_engine
from workers.vision.settings import VisionSettings

pytestmark = pytest.mark.model

SPECS = [DETECTOR, MESH, IRIS]
every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@pytest.fixture(params=READERS)
def name(request: pytest.FixtureRequest) -> str:
    """Each reader; LiteRT's where the extra vision-litert is installed, as `make test` does."""
    if request.param == "litert":
        pytest.importorskip("ai_edge_litert")
    return str(request.param)


def path_of(spec: NetSpec) -> Path:
    return faces.weights()[SPECS.index(spec)]


def test_a_network_that_computes_other_numbers_is_not_used(name: str) -> None:
    wrong = replace(MESH, golden=(MESH.golden[0], tuple(x + 1 for x in MESH.golden[1])))
    with pytest.raises(NetError, match="other numbers"):
        load(wrong, path_of(MESH), reader(name))
    with pytest.raises(NetError):
        load(MESH, path_of(DETECTOR), reader(name))


def test_a_file_that_is_no_network_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(path_of(MESH).read_bytes()[:5_000])
    with pytest.raises(NetError):
        load(MESH, path, reader(name))


def test_a_picture_of_another_size_is_an_error_of_the_network(name: str) -> None:
    net = load(MESH, path_of(MESH), reader(name))
    with pytest.raises(NetError):
        net.run(probe(MESH.side // 2))


@every_spec
def test_networks_are_deterministic(spec: NetSpec, name: str) -> None:
    net = load(spec, path_of(spec), reader(name))
    first = [digest(output) for output in net.run(probe(spec.side))]
    assert [digest(output) for output in net.run(probe(spec.side))] == first


@every_spec
def test_readers_agree_to_a_thousandth(spec: NetSpec, name: str) -> None:
    ours = load(spec, path_of(spec), reader("opencv")).run(probe(spec.side))
    theirs = load(spec, path_of(spec), reader(name)).run(probe(spec.side))
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-3


def test_the_signals_of_a_face_are_the_same_by_each_reader(name: str) -> None:
    wanted = Wanted(landmarks=True)
    ours = Analyzer().analyze(faces.nets(), faces.portrait(), 0, wanted).frame
    theirs = Analyzer().analyze(FaceNets(*faces.weights(), reader(name)), faces.portrait(), 0, wanted).frame
    assert theirs.face.landmarks == pytest.approx(ours.face.landmarks, abs=1e-4)
    for part, signal in (("head", "yaw"), ("head", "roll"), ("eyes", "ear_left"), ("mouth", "smile")):
        a, b = (getattr(getattr(frame, part), signal).value for frame in (ours, theirs))
        assert b == pytest.approx(a, abs=0.01)


async def test_a_reader_that_is_not_installed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.delitem(sys.modules, READERS["litert"], raising=False)
    config = VisionSettings(model_cache=Path(".cache/models"), threads=1, decoders=1, nice=0, nets="litert")
    engine = create_engine(config)
    try:
        with pytest.raises(ModelError, match="vision-litert"):
            await engine.load()
    finally:
        await engine.close()
