"""What `talkup analyze` reads, a video or a picture, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from talkup_client.errors import TalkupError, UnreadableFileError, UnsupportedFileError
from talkup_client.media_file import HEAD_BYTES, MediaFile, identify

_PICTURES = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    *((magic, "image") for magic in (b"GIF8", b"II*\0", b"MM\0*", b"\xff\x0a", b"\0\0\0\x0cJXL ", b"\0\0\0\x0cjP  ")),
)
"""First bytes and MIME type; of those that are just `image`, vision says what they are and what it reads."""

_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"})
_READ = "WebM, Matroska, MP4, MOV or 3GP with VP8, VP9 or H.264, or a JPEG, PNG or WebP picture"


def identify_sight(path: Path) -> MediaFile:
    """Identify a video or a picture. Raises UnsupportedFileError or UnreadableFileError; users see the message."""
    try:
        media = identify(path)
    except UnreadableFileError:
        raise
    except UnsupportedFileError as error:
        return _picture(path) or _refuse(path, error)
    if (picture := _picture(path)) is not None:  # the bytes of a picture may be those of some recording, too
        return picture
    if media.format.startswith("audio"):
        raise UnsupportedFileError(f"{media.name} holds no pictures: analyze a video or a picture")
    return media


def _picture(path: Path) -> MediaFile | None:
    """The file, if it is a picture."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    format_ = next((format_ for magic, format_ in _PICTURES if head.startswith(magic)), None)
    is_bmp = head.startswith(b"BM") and path.suffix.lower() in (".bmp", ".dib")
    is_heif = head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        format_ = "image/webp"
    elif is_bmp or is_heif:
        format_ = "image"
    return MediaFile(path, format_, path.stat().st_size) if format_ else None


def _refuse(path: Path, error: TalkupError) -> MediaFile:
    """Raise the error; for a file of no type that is known here, with what vision reads."""
    if "is not of a type" not in error.message:
        raise error
    raise UnsupportedFileError(
        f"{path.name} is no video or picture that can be analysed ({_READ}); to convert a video: ffmpeg -i IN OUT.mp4"
    )
