"""`resume_state`: what another worker needs to continue a stream, versioned MessagePack of a few KB.

Its parts are the recogniser's memory, the next segment's number, the totals of the chunks that will not be replayed,
and the decoder's own state. It holds words of the transcript: it never enters a log.
"""

from __future__ import annotations

import msgspec

from workers.delivery.state import DeliveryState

VERSION = 1

WordTuple = tuple[str, int, int, float]
"""Text, start and end (samples on the media clock), probability."""


class RecognizerState(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"heard_all_language": "settled"}
):
    """Between two frames of a stream; the defaults are its beginning. A frame has 512 samples.

    `rename` keeps the encoded name of a field, so that workers of two releases read each other's states.
    """

    frame: int = 0
    replay_from: int = 0
    track_first: int = 0
    track: bytes = b""
    vad_frame: int = 0
    vad: bytes = b""
    vad_silent: int = 0
    """Frames of silence in a row that the voice detector's memory has seen."""
    speaking: bool = False
    silence: int = 0
    spoken: int = 0
    committed: list[WordTuple] = []
    tail: list[WordTuple] = []
    wordless: int = 0
    """Samples of speech in which no words were found."""
    cut_off: bool = False
    """Whether the first of the committed words was cut off by a pause."""
    window_open: bool = False
    window_start: int = 0
    last_step: int = 0
    heard_at: int = 0
    first_window: bool = True
    language: str | None = None
    previous_language: str | None = None
    """Of the segment before, in a stream with several languages."""
    word_floor: int = 0
    skips: int = 0
    """Hypotheses in a row that were rejected for leaving words out."""
    heard_all_language: str = ""
    """The language of the last hypothesis if it heard everything said so far, else empty."""
    noise: tuple[float, int, float, int] = (0.0, 0, 0.0, 0)
    """Level (dB) and number of frames with a voice, then without."""


class Totals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Chunks, their bytes, chunks lost and bytes skipped as damaged, from the stream's first chunk on."""

    chunks: int = 0
    size: int = 0
    missing: int = 0
    damaged: int = 0


class ResumeState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The whole state. `audio_from`: the first sample that a decoder made from `decoder` gives; <= `replay_from`.

    `delivery`: of a stream that measures how something is said.
    """

    version: int
    recognizer: RecognizerState
    segment_id: int
    totals: Totals
    audio_from: int
    decoder: bytes
    delivery: DeliveryState | None = None


def pack(state: ResumeState) -> bytes:
    """To the wire."""
    return msgspec.msgpack.encode(state)


def unpack(data: bytes) -> ResumeState:
    """From the wire; raises ValueError for bytes that are not a state of this version."""
    try:
        state = msgspec.msgpack.decode(data, type=ResumeState)
    except msgspec.DecodeError as error:
        raise ValueError("not a resume state") from error
    if state.version != VERSION:
        raise ValueError("resume state of another version")
    return state
