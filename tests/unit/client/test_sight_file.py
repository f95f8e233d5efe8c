"""What `talkup analyze` accepts: pictures and videos, recognised by their first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
from talkup_client import Client, sources
from talkup_client.analyze import analyze
from talkup_client.errors import NoMediaError, UnsupportedFileError
from talkup_client.sight_file import identify_sight

from tests.fakes.gateway_server import KEY, FakeGateway


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("head", "name", "mime"),
    [
        (b"\xff\xd8\xff\xe0", "a.jpg", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "a.png", "image/png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a.webp", "image/webp"),
        (b"GIF89a", "a.gif", "image"),
        (b"BM\0\0\0\0", "a.bmp", "image"),
        (b"II*\0", "a.tif", "image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "a.heic", "image"),
        (b"\0\0\0\x1cftypavif\0\0\0\0mif1", "a.avif", "image"),
    ],
)
async def test_a_picture_is_one_chunk(tmp_path: Path, head: bytes, name: str, mime: str) -> None:
    data = head + bytes(5_000)
    media = identify_sight(write(tmp_path, name, data))
    assert media.format == mime
    assert [slice_ async for slice_ in sources.slices(media)] == [data]


def test_a_video_is_a_video(tmp_path: Path) -> None:
    head = b"\x1aE\xdf\xa3\x42\x82\x84webm V_VP8"
    assert identify_sight(write(tmp_path, "a.webm", head)).format == "video/webm"


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (
            b"RIFF....AVI LIST",
            "is no video or picture that can be analysed (WebM, Matroska, MP4, MOV or 3GP with VP8, ",
        ),
        (b"BMW and other words", "is no video or picture that can be analysed"),
        (b"fLaC", "holds no pictures: analyze a video or a picture"),
        (b"", "is empty"),
    ],
)
def test_what_shows_nothing_is_named(tmp_path: Path, head: bytes, sentence: str) -> None:
    with pytest.raises(UnsupportedFileError) as caught:
        identify_sight(write(tmp_path, "a.jpg", head))
    assert str(caught.value).startswith(f"a.jpg {sentence}")


async def test_a_picture_beyond_the_limit_of_the_gateway_is_not_sent(tmp_path: Path) -> None:
    photo = identify_sight(write(tmp_path, "a.jpg", b"\xff\xd8\xff\xe0" + bytes(3 << 20)))
    async with FakeGateway().serving() as gateway, Client(gateway.url, key=KEY) as client:
        limit = client.max_chunk_bytes
        assert 0 < limit < photo.size_bytes
        with pytest.raises(UnsupportedFileError, match=r"a\.jpg has 3\.0 MiB, and the gateway takes pictures of up to"):
            await analyze(client, photo, [].append)
        assert gateway.streams() == []


async def test_a_file_without_one_picture_that_can_be_decoded_is_named(tmp_path: Path) -> None:
    film = identify_sight(write(tmp_path, "a.webm", b"\x1aE\xdf\xa3\x42\x82\x84webm V_VP8"))
    async with FakeGateway(decodes=False).serving() as gateway, Client(gateway.url, key=KEY) as client:
        with pytest.raises(NoMediaError, match=r"a\.webm: no picture in it could be decoded"):
            await analyze(client, film, [].append)
