"""Pictures become frames of a bounded size, upright, in every encoding that is read."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.workers.vision.encoded import MARKS, encoded, many_scans, photo, turned
from tests.unit.workers.vision.faces import portrait
from workers.chunk import Chunk
from workers.media.frames import FrameFlag, FrameRecord, is_usable
from workers.media.isolation.child import warm_up
from workers.vision.pictures import Picture, from_yuv420
from workers.vision.stills import StillDecoder, open_decoder, still_clips


def decode(data: bytes) -> FrameRecord:
    (record,) = StillDecoder().decode(Chunk(0, data))
    assert is_usable(record)
    return record


def picture_of(record: FrameRecord) -> Picture:
    return from_yuv420(record.picture, record.width, record.height)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_a_picture_comes_out_as_it_went_in(kind: str) -> None:
    picture = picture_of(decode(encoded(portrait(), kind))).astype(int)
    assert picture.shape == portrait().shape
    assert np.abs(picture.mean(axis=(0, 1)) - portrait().mean(axis=(0, 1))).max() < 2


@pytest.mark.parametrize(
    ("kind", "width", "height"),
    [("jpeg", 6_144, 8_192), ("jpeg", 4_032, 3_024), ("png", 4_032, 3_024), ("webp", 4_032, 3_024)],
)
def test_a_photo_comes_out_at_working_size(kind: str, width: int, height: int) -> None:
    record = decode(photo(kind, width, height))
    assert max(record.width, record.height) == 960
    assert record.width / record.height == pytest.approx(width / height, abs=0.01)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize(
    ("orientation", "corners"),
    [(1, "RGBW"), (2, "GRWB"), (3, "WBGR"), (4, "BWRG"), (5, "RBGW"), (6, "BRWG"), (7, "WGBR"), (8, "GWRB")],
)
def test_every_orientation_of_exif_is_turned_upright(kind: str, orientation: int, corners: str) -> None:
    """The quarters of a picture, row by row: red, green, blue, white as stored."""
    picture = picture_of(decode(turned(MARKS, kind, orientation)))
    height, width = picture.shape[:2]
    middles = [picture[y, x] > 128 for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    names = {(True, False, False): "R", (False, True, False): "G", (False, False, True): "B", (True, True, True): "W"}
    assert "".join(names[tuple(map(bool, middle))] for middle in middles) == corners


@pytest.mark.parametrize(
    "data",
    [many_scans(4_000, 3_000, 20_000), encoded(portrait(), "png")[:-30] + bytes(30), b""],
    ids=["scans", "png", "nothing"],
)
def test_what_cannot_be_decoded_is_a_corrupt_record(data: bytes) -> None:
    assert decode(data).flags == FrameFlag.CORRUPT


def test_every_kind_warms_up() -> None:
    assert warm_up(open_decoder, still_clips()) == ()
