"""The doors through which people bring recordings and pictures, and what each of them answers.

`talkup transcribe`, the page and a raw socket; `talkup analyze` for pictures.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from bench.harness.browsing import Visit
from bench.harness.material import pieces, words
from bench.harness.stack import Stack, running_stack
from tests.e2e.wire import open_wire
from tests.fakes.talkup import at, run
from tests.kinds.pictures import Sight
from tests.kinds.recordings import Part, Recording
from tests.kinds.sounds import SENTENCE, sentence

DOORS = ("command", "page", "socket")
READ = "words"
FACE = "a face"
_MIME_TYPES = {
    "wav": "audio/wav",
    "aiff": "audio/aiff",
    "caf": "audio/x-caf",
    "mp3": "audio/mpeg",
    "mp2": "audio/mpeg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "amr": "audio/amr",
    "ogg": "audio/ogg",
    "mp4": "video/mp4",
    "m4a": "audio/mp4",
    "m4b": "audio/mp4",
    "mov": "video/quicktime",
    "3gp": "audio/3gpp",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "wma": "audio/x-ms-wma",
    "wmv": "video/x-ms-wmv",
    "avi": "video/x-msvideo",
    "ts": "video/mp2t",
    "spx": "audio/speex",
    "png": "image/png",
}
_CHUNK_BYTES = 32_000
_FILES_AT_ONCE = 4
_SHARES: dict[Part, tuple[float, float]] = {
    "whole": (0.8, 1.2),
    "first half": (0.25, 0.8),
    "second half": (0.25, 0.8),
    "nothing": (0, 0.2),
}
"""How many of the words must be heard, and how many there may be."""

_COUNTS = re.compile(r"\d+ bytes|byte \d+ of \d+|damaged_bytes: \d+")
_NO_WORDS = "No words were heard."
_OVER = """noWords => {
  const said = id => document.getElementById(id).innerText.trim();
  const noticed = !document.getElementById("notice").hidden;
  return said("toggle") === "Start microphone" && (noticed || said("finals") || said("empty") === noWords);
}"""
_CLEAR = """() => {
  document.getElementById("clear").click();
  document.getElementById("notice").hidden = true;
}"""


@dataclass(frozen=True)
class Answer:
    """What a person gets: a text, and sentences about what went wrong."""

    text: str
    sentences: tuple[str, ...]

    def cell(self, good: str = READ) -> str:
        """What the table says: whether it is good, and the sentences. Numbers of bytes vary with the encoder."""
        cell = "; ".join([*([good] if self.text else []), *self.sentences]) or "nothing"
        return _COUNTS.sub(lambda found: re.sub(r"\d+", "N", found[0]), cell)


def check(row: Recording, answer: Answer) -> str:
    """What is wrong with an answer; empty if nothing is."""
    said = " ".join(answer.sentences)
    if "Traceback" in said or "Error:" in said:
        return f"a traceback: {said}"
    if len(answer.sentences) > 1:
        return f"several sentences: {answer.sentences}"
    if not answer.text:
        return "" if answer.sentences else "neither words nor a sentence"
    wanted, heard = words(SENTENCE, "en"), words(answer.text, "en")
    right = sum(block.size for block in SequenceMatcher(None, wanted, heard, autojunk=False).get_matching_blocks())
    least, most = _SHARES[row.said]
    if right >= least * len(wanted) and len(heard) <= most * len(wanted):
        return ""
    return f"wrong words: {answer.text}"


@contextmanager
def real_stack(folder: Path) -> Iterator[Stack]:
    """Speech and vision with the real models."""
    settings = {"WORKER_MODEL": "tiny.en", "WORKER_SLOTS": "8"}
    vision = ("vision",)
    with running_stack(
        folder=folder, worker_arguments=("stt",), worker_settings=settings, vision=True, vision_arguments=vision
    ) as stack:
        yield stack


def write_all(rows: Sequence[Recording], folder: Path) -> list[Path]:
    """Each recording in a file, by number."""
    paths = [folder / f"{number:03}.{row.suffix}" for number, row in enumerate(rows)]
    for path, row in zip(paths, rows, strict=True):
        path.write_bytes(row.data(sentence))
    return paths


async def by_command(stack: Stack, paths: Sequence[Path]) -> list[Answer]:
    """`talkup transcribe`, a few files at a time."""
    groups = [paths[at : at + _FILES_AT_ONCE] for at in range(0, len(paths), _FILES_AT_ONCE)]
    return [answer for group in groups for answer in await _one_command(stack, group)]


async def _one_command(stack: Stack, paths: Sequence[Path]) -> list[Answer]:
    folder = paths[0].with_suffix(".texts")
    folder.mkdir()
    _, _, said = await run("transcribe", *at(stack), "--language", "en", "--output", folder, *paths)
    lines = said.splitlines()
    answers = []
    for path in paths:
        about = [line for line in lines if path.name in line]
        output = folder / f"{path.stem}.txt"
        text = output.read_text(encoding="utf-8") if output.exists() else ""
        about_file = tuple(re.sub(rf"\S*{path.name}", "FILE", line).removeprefix("talkup: ") for line in about)
        answers.append(Answer(" ".join(text.split()), about_file))
    strange = [line for line in lines if not any(path.name in line for path in paths)]
    assert not strange, strange
    return answers


async def by_page(visit: Visit, path: Path) -> Answer:
    """The page's file picker."""
    await visit.page.evaluate(_CLEAR)
    await visit.page.set_input_files("#file", path)
    await visit.until(_OVER, _NO_WORDS)
    notice = visit.page.locator("#notice")
    shown = await visit.page.inner_text("#notice-text") if await notice.is_visible() else ""
    text = await visit.finals()
    if not text and not shown and await visit.page.locator("#empty").is_visible():
        shown = await visit.page.inner_text("#empty")
    return Answer(text, (shown.replace(path.name, "FILE"),) if shown else ())


async def by_socket(stack: Stack, path: Path, *, binary: bool) -> Answer:
    """A WebSocket and our JSON, the recording as a live source in binary frames or as Base64."""
    format_ = _MIME_TYPES.get(path.suffix[1:], "audio")
    async with open_wire(stack.ws_url) as wire:
        await wire.until("session")
        start = {"format": format_, "services": ["stt"], "language": "en", "interim_results": False}
        await wire.send({"type": "stream_start", "stream_id": "s", **start})
        answer = await wire.until(lambda message: message["type"] in ("acknowledge", "error"))
        if answer["type"] == "acknowledge":
            sending = asyncio.create_task(_send(wire, path.read_bytes(), binary=binary))
            await wire.until(lambda message: message["type"] in ("stream_ended", "error"))
            await sending
    errors = [message["data"] for message in wire.seen if message["type"] == "error"]
    texts = tuple(dict.fromkeys(f"{error['code']}: {error['message']}" for error in errors))
    ended = [message["data"] for message in wire.seen if message["type"] == "stream_ended"]
    damaged = [f"stream_ended.damaged_bytes: {end['damaged_bytes']}" for end in ended if end["damaged_bytes"]]
    nothing = ["stream_ended.segments: 0"] if ended and not ended[0]["segments"] else []
    return Answer(wire.text(), (*texts, *damaged, *nothing))


async def _send(wire, data: bytes, *, binary: bool) -> None:
    for number, chunk in enumerate(pieces(data, _CHUNK_BYTES)):
        text = {"type": "stream_chunk", "stream_id": "s", "sequence": number, "data": base64.b64encode(chunk).decode()}
        await wire.send(chunk if binary else text)
    await wire.send({"type": "stream_end", "stream_id": "s"})


async def by_analyze(stack: Stack, sight: Sight, folder: Path) -> Answer:
    """`talkup analyze`; the text is the share of the time in which a face was present."""
    path = folder / f"sight.{sight.suffix}"
    path.write_bytes(sight.data())
    _, out, said = await run("analyze", *at(stack), path)
    found = re.search(r"^face present +(\S+)%", out, re.MULTILINE)
    sentences = (line.removeprefix("talkup: ").replace(path.name, "FILE") for line in said.splitlines())
    return Answer(FACE if found and float(found[1]) > 50 else "", tuple(sentences))
