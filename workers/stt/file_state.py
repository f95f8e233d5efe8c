"""`resume_state` of a recording that is transcribed as a file; see `workers.stt.state` for live streams.

A state of the one mode is no state of the other: each lacks a field that the other requires.
"""

from __future__ import annotations

import msgspec

from workers.delivery.state import DeliveryState
from workers.stt.state import VERSION, RecognizerState, Totals
from workers.stt.tuning import FRAME, SAMPLE_RATE

_MAX_RESUMED_AUDIO = 300 * SAMPLE_RATE
"""Audio heard behind the restart point: five windows of 45 s with pauses, and the audio that waits to be heard."""


class FileState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Between two windows, or behind the first words of one; the defaults are a recording's beginning.

    `hearing`: the voice detector's part, and `replay_from`. `pieces`, `start`, `voiced_to` and `floor`: the window that
    is being collected, see `WindowCutter`. `given`: words of it that are final already.
    """

    hearing: RecognizerState = RecognizerState()
    pieces: list[tuple[int, int]] = []
    start: int | None = None
    voiced_to: int = 0
    floor: int = 0
    given: int = 0
    first: bool = True
    language: str | None = None
    previous_language: str | None = None
    word_floor: int = 0


class FileResumeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole state; see `ResumeState`."""

    version: int
    file: FileState
    segment_id: int
    totals: Totals
    audio_from: int
    decoder: bytes
    delivery: DeliveryState | None = None


def pack(state: FileResumeState) -> bytes:
    """To the wire."""
    return msgspec.msgpack.encode(state)


def unpack(data: bytes) -> FileResumeState:
    """From the wire; raises ValueError for bytes that are not a state of a file of this version."""
    try:
        state = msgspec.msgpack.decode(data, type=FileResumeState)
    except msgspec.DecodeError as error:
        raise ValueError("not a resume state of a file") from error
    if state.version != VERSION or not _is_in_order(state):
        raise ValueError("a resume state of another version or with impossible positions")
    return state


def _is_in_order(state: FileResumeState) -> bool:
    file, hearing = state.file, state.file.hearing
    starts = [start for start, _ in file.pieces] + ([] if file.start is None else [file.start])
    heard = hearing.frame * FRAME
    return (
        0 <= state.audio_from <= hearing.replay_from <= min(hearing.vad_frame * FRAME, *starts, heard)
        and hearing.vad_frame <= hearing.frame
        and heard <= state.audio_from + _MAX_RESUMED_AUDIO
        and all(start <= end <= heard + FRAME for start, end in file.pieces)
        and 2 * (hearing.frame - hearing.track_first) == len(hearing.track)
        and state.segment_id >= 1
        and file.given >= 0
    )
