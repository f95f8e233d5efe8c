"""Resolving weights: small made-up carriers replace the packages, as files on disk."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from workers import models
from workers.models import CarriedFile, CarriedModel, ModelError, resolve, sha256_of


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of carrier packages whose code must not run, found as installed ones are."""
    folder = tmp_path / "site"
    for package, name, content in (
        ("carrier_one", "model.bin.part1", b"first "),
        ("carrier_one", "config.json", b"{}"),
        ("carrier_two", "model.bin.part2", b"second"),
        ("carrier_whole", "face.tflite", b"face"),
    ):
        data = folder / package / "data"
        data.mkdir(parents=True, exist_ok=True)
        (folder / package / "__init__.py").write_text("raise AssertionError('imported')\n")
        (data / name).write_bytes(content)
    monkeypatch.syspath_prepend(str(folder))
    parted = CarriedModel(
        packages=("carrier-one==1", "carrier-two==1"),
        files=(
            CarriedFile(
                "model.bin",
                (("carrier_one", "data/model.bin.part1"), ("carrier_two", "data/model.bin.part2")),
                sha(b"first second"),
            ),
            CarriedFile("config.json", (("carrier_one", "data/config.json"),), sha(b"{}")),
        ),
        licence="MIT",
        origin="someone/parted",
    )
    face = CarriedModel(
        ("carrier-whole==1",),
        (CarriedFile("face.tflite", (("carrier_whole", "data/face.tflite"),), sha(b"face")),),
        "Apache-2.0",
        "someone/face",
    )
    absent = CarriedModel(
        ("absent==1",), (CarriedFile("x", (("absent_carrier", "x"),), sha(b"")),), "MIT", "someone/absent"
    )
    monkeypatch.setattr(models, "CARRIED", {"parted": parted, "face": face, "absent": absent})
    return folder


def test_parts_are_joined_once_in_the_cache(packages: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    found = resolve("parted", cache)
    assert (found.path / "model.bin").read_bytes() == b"first second"
    assert (found.path / "config.json").read_bytes() == b"{}"
    assert (found.sha256, found.licence) == (sha(b"first second"), "MIT")
    before = (found.path / "model.bin").stat().st_ino
    assert resolve("parted", cache) == found
    assert (found.path / "model.bin").stat().st_ino == before
    assert sorted(path.name for path in cache.iterdir()) == [found.path.name, "verified.json"]
    assert not {"carrier_one", "carrier_two"} & sys.modules.keys()


def test_a_cache_that_cannot_be_written_is_named_where_it_is_needed(packages: Path) -> None:
    with pytest.raises(ModelError) as refusal:
        resolve("parted", Path("/proc/none"))
    assert str(refusal.value).startswith("model parted: /proc/none: ")
    assert "WORKER_MODEL_CACHE" in str(refusal.value)


def test_what_needs_no_cache_does_without(packages: Path) -> None:
    assert resolve("face", Path("/proc/none")).path.read_bytes() == b"face"


def test_a_joined_model_is_used_from_a_cache_that_cannot_be_written_any_more(packages: Path, tmp_path: Path) -> None:
    joined = resolve("parted", tmp_path / "cache")
    before = sha256_of(joined.path / "model.bin", Path("/proc/none"))
    assert before == sha(b"first second")


def test_a_path_that_is_no_text_here_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"with \xff")
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    with pytest.raises(ModelError, match="PYTHONUTF8=1"):
        resolve(str(folder), tmp_path / "cache")


def test_a_model_in_the_home_of_nobody_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="home directory that ~ names is unknown"):
        resolve("~nobody-of-this-name/model", tmp_path)


def test_a_single_file_is_used_where_it_lies(packages: Path, tmp_path: Path) -> None:
    assert resolve("face", tmp_path / "cache").path == packages / "carrier_whole" / "data" / "face.tflite"


@pytest.mark.parametrize(
    ("name", "file"), [("parted", "carrier_two/data/model.bin.part2"), ("face", "carrier_whole/data/face.tflite")]
)
def test_a_carrier_that_differs_is_refused(packages: Path, tmp_path: Path, name: str, file: str) -> None:
    (packages / file).write_bytes(b"tampered")
    with pytest.raises(ModelError, match="not the file expected"):
        resolve(name, tmp_path / "cache")
    leftovers = [path.name for path in (tmp_path / "cache").iterdir() if path.name != "verified.json"]
    assert leftovers == []


def test_a_change_after_the_first_check_is_found(packages: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    joined = resolve("parted", cache).path / "model.bin"
    joined.write_bytes(b"first sec0nd!")
    with pytest.raises(ModelError, match="not the file expected"):
        resolve("parted", cache)


def test_a_check_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    file, cache = tmp_path / "file", tmp_path / "cache"
    file.write_bytes(b"one")
    assert sha256_of(file, cache) == sha(b"one")
    stamps = cache / "verified.json"
    stamps.write_text(stamps.read_text().replace(sha(b"one"), "remembered"))
    assert sha256_of(file, cache) == "remembered"
    file.write_bytes(b"other")
    assert sha256_of(file, cache) == sha(b"other")
    stamps.write_bytes(b"damaged")
    assert sha256_of(file, cache) == sha(b"other")


def test_a_directory_comes_first(tmp_path: Path) -> None:
    directory = tmp_path / "my-model"
    directory.mkdir()
    with pytest.raises(ModelError, match=r"no model\.bin"):
        resolve(str(directory), tmp_path / "cache")
    (directory / "model.bin").write_bytes(b"weights")
    found = resolve(str(directory), tmp_path / "cache")
    assert (found.name, found.path, found.sha256) == ("my-model", directory, sha(b"weights"))


def test_a_missing_carrier_is_named(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="install absent==1"):
        resolve("absent", tmp_path / "cache")


def test_a_hub_out_of_reach_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="cannot be downloaded: the hub is out of reach") as refused:
        resolve("no-such-model", tmp_path / "cache")
    assert "\n" not in str(refused.value)
    assert "there are tiny.en, base, and at the hub tiny," in str(refused.value)
    assert "Error" not in str(refused.value)


def test_an_unknown_name_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"the hub has no .*; there are tiny\.en, base, and"):
        resolve("no such model!", tmp_path / "cache")


def test_the_table_names_whole_digests() -> None:
    for model in models.CARRIED.values():
        assert all(len(file.sha256) == 64 for file in model.files)
        assert all("==" in package for package in model.packages)


def test_small_is_said_to_be_carried_by_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"small: .* give a directory; its packages .* are of no use") as refused:
        resolve("small", tmp_path / "cache")
    assert "\n" not in str(refused.value)
