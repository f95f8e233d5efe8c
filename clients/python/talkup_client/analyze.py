"""Analysis of a recording by the vision service: events as they arrive, then a summary of the whole recording."""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from talkup_client import report
from talkup_client.client import Client
from talkup_client.errors import NoMediaError, SettingError, TalkupError, UnsupportedFileError, UnwritableFileError
from talkup_client.events import AnalysisResult, Notice, StreamEnded, StreamEvent, TranscriptUpdate
from talkup_client.extras import install_command
from talkup_client.findings import Findings
from talkup_client.integrity import damage
from talkup_client.losses import losses
from talkup_client.media_file import MediaFile, has_sound
from talkup_client.output import try_to_write
from talkup_client.sources import slices
from talkup_client.stream import Stream

_MIB = 1 << 20
_WINDOW_SLICES = 32
"""Slices until the next flush. The worker works on one window while the next is on its way, and nothing piles up."""

_ROWS = (
    ("face present", "presence_ratio", 100, "%"),
    ("facing the camera as at rest", "facing_camera_ratio", 100, "%"),
    ("smile", "smile_ratio", 100, "%"),
    ("nods", "nods", 1, ""),
    ("blinks per minute", "blinks_per_minute", 1, ""),
    ("motion", "motion", 100, "%"),
    ("yaw spread", "yaw_spread_degrees", 1, " degrees"),
    ("brightness", "luma", 1, " of 255"),
    ("frames per second", "fps", 1, ""),
)


async def analyze(
    client: Client,
    media: MediaFile,
    print_line: Callable[[str], None],
    findings: Findings | None = None,
    *,
    for_report: bool = False,
) -> list[str]:
    """Have every frame of a recording analysed; print each event and then the summary, line by line.

    The worker skips no frame, and reads the recording only as fast as it can analyse it. With `findings`,
    everything is also kept there: mesh points, and captions if the recording has sound. `for_report`: of a recording
    with sound, how it is said is measured, too. The client retries a busy gateway for `busy_s` seconds.

    Returns a line for each kind of loss. Raises TalkupError when the stream is refused or fails, UnsupportedFileError
    for a picture that vision refuses, NoMediaError when nothing in the file could be decoded, and UnreadableFileError.
    """
    if media.is_picture and (limit := client.max_chunk_bytes) and media.size_bytes > limit:
        raise UnsupportedFileError(
            f"{media.name} has {media.size_bytes / _MIB:.1f} MiB, and the gateway takes pictures of up to "
            f"{limit / _MIB:.1f} MiB: make it smaller"
        )
    try:
        async with asyncio.TaskGroup() as group:
            pictures = group.create_task(_analyze_pictures(client, media, print_line, findings))
            sound = None
            if (findings is not None or for_report) and has_sound(media):
                services = report.SPEECH if for_report else ("stt",)
                sound = group.create_task(_transcribe_sound(client, media, services, findings))
    except* (TalkupError, OSError) as errors:
        raise errors.exceptions[0] from None
    return list(dict.fromkeys([*pictures.result(), *(sound.result() if sound else ())]))


async def _analyze_pictures(
    client: Client, media: MediaFile, print_line: Callable[[str], None], findings: Findings | None
) -> list[str]:
    """Print the events and the summary of the pictures; return the losses."""
    signals = () if findings is None else ("landmarks",)
    is_seen = False

    def handle(event: StreamEvent) -> None:
        nonlocal is_seen
        if isinstance(event, AnalysisResult):
            is_seen = is_seen or bool(event.data.get("frame"))
            if findings is not None:
                findings.add(event)
            for line in lines_of(event.data) if is_seen else ():
                print_line(line)

    async with client.stream(
        format=media.format, services=("vision",), signals=signals, every_frame=True, patience=client.patience()
    ) as stream:
        notices, ended = await _run_stream(stream, media, handle, in_step=True)
    if not is_seen and ended is not None and not ended.media_seconds:
        raise _nothing_seen(media, notices)
    lost = losses(notices, ended)
    if not lost and (broken := await asyncio.to_thread(damage, media)):
        lost.append(broken)
    return lost


def _nothing_seen(media: MediaFile, notices: Sequence[Notice]) -> TalkupError:
    """The error for a file of which no picture could be analysed."""
    if media.is_picture and notices:
        return UnsupportedFileError(f"{media.name}: {notices[0].message}")
    return NoMediaError(f"{media.name}: no picture in it could be decoded: it is damaged, or it ends too early")


async def _transcribe_sound(
    client: Client, media: MediaFile, services: Sequence[str], findings: Findings | None
) -> list[str]:
    """Have the sound transcribed, and keep its captions in `findings`; return the losses."""

    def handle(event: StreamEvent) -> None:
        if isinstance(event, TranscriptUpdate) and findings is not None:
            findings.add(event)

    async with client.stream(format=media.format, services=services, patience=client.patience()) as stream:
        return losses(*await _run_stream(stream, media, handle, in_step=False))


async def _run_stream(
    stream: Stream, media: MediaFile, handle: Callable[[StreamEvent], None], *, in_step: bool
) -> tuple[list[Notice], StreamEnded | None]:
    """Run one stream to its end. `in_step`: at most two windows of slices are under way."""
    flushes: deque[asyncio.Task[None]] = deque()

    async def send(group: asyncio.TaskGroup) -> None:
        number = 0
        async for piece in slices(media):
            await stream.send(piece)
            number += 1
            if in_step and number % _WINDOW_SLICES == 0:
                flushes.append(group.create_task(stream.flush()))
                if len(flushes) > 1:
                    await flushes.popleft()
        await stream.end()

    notices: list[Notice] = []
    ended: StreamEnded | None = None
    try:
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(send(group))
            async for event in stream:
                match event:
                    case Notice():
                        notices.append(event)
                    case StreamEnded():
                        ended = event
                        break
                    case _:
                        handle(event)
            for task in (sender, *flushes):
                task.cancel()
    except* (TalkupError, OSError) as errors:
        raise errors.exceptions[0] from None
    return notices, ended


@dataclass(frozen=True, slots=True)
class Drawing:
    """A copy of a recording, still to be made, with its findings drawn into it."""

    media: MediaFile
    output: Path
    annotate: Callable[[Path, Findings, Path], int]
    findings: Findings = field(default_factory=Findings)

    def write(self) -> str:
        """Write the copy; return a line for the user. Raises UnsupportedFileError, UnwritableFileError."""
        return f"{self.annotate(self.media.path, self.findings, self.output)} frames drawn into {self.output}"


def drawing_of(media: MediaFile, output: Path | None) -> Drawing | None:
    """Prepare the drawing before anything is sent. Raises SettingError when its libraries or its folder are missing.

    Raises UnwritableFileError when the copy cannot be written.
    """
    if output is None:
        return None
    if not output.parent.is_dir():
        raise SettingError(f"{output}: there is no such folder", field="--annotate")
    if output.exists() and output.samefile(media.path):
        raise SettingError(f"{output} is the recording itself", field="--annotate")
    try:
        try_to_write(output)
    except OSError as error:
        raise UnwritableFileError(f"{output} cannot be written: {error.strerror}") from None
    try:
        module = importlib.import_module("talkup_client.annotate")
    except ModuleNotFoundError as error:
        raise SettingError(
            f"--annotate needs the package {error.name}, which is missing: {install_command('annotate')}",
            field="--annotate",
        ) from None
    return Drawing(media, output, cast("Callable[[Path, Findings, Path], int]", module.annotate))


def lines_of(data: Mapping[str, Any]) -> list[str]:
    """An `analysis_result` as lines of text: events that ended, and the figures of the whole session."""
    lines = [
        f"{event['t0_ms'] / 1000:8.2f} s to {event['t1_ms'] / 1000:8.2f} s  {event['type']}"
        for event in data.get("events") or ()
        if event.get("t1_ms") is not None
    ]
    window = data.get("window")
    if window and window.get("whole_session"):
        lines += ["", f"{'frames':<26}{window['frames']}"]
        lines += [f"{label:<26}{_number(window.get(name), scale, unit)}" for label, name, scale, unit in _ROWS]
    return lines


def _number(measure: Mapping[str, Any] | None, scale: int, unit: str) -> str:
    if measure is None:
        return "not measurable"
    return f"{measure['value'] * scale:.1f}{unit} (confidence {measure['confidence']:.2f})"
