"""The events of OpenAI's Realtime dialect, in both directions, as its SDKs write and parse them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from gateway.doors.openai.answers import Usage
from gateway.doors.openai.errors import Details

APPEND: Final = "input_audio_buffer.append"
_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


class _FromClient(Struct, tag_field="type", kw_only=True):
    event_id: str | None = None


class Append(_FromClient, tag=APPEND):
    """Sound, in Base64."""

    audio: bytes


class Commit(_FromClient, tag="input_audio_buffer.commit"):
    """The sound since the last commit becomes an item."""


class Clear(_FromClient, tag="input_audio_buffer.clear"):
    """Drop the sound since the last commit: it becomes no item."""


class Update(_FromClient, tag="session.update"):
    """Change the session's configuration."""

    session: dict[str, Any]


class BetaUpdate(_FromClient, tag="transcription_session.update"):
    """The same, as the beta had it."""

    session: dict[str, Any]


class OtherEvent(Struct):
    """Any event."""

    type: str
    event_id: str | None = None


FromClient = Append | Commit | Clear | Update | BetaUpdate


class ToldSession(Struct):
    """`session.created`, `session.updated`, and their names in the beta."""

    type: str
    event_id: str
    session: Mapping[str, Any]


class Cleared(Struct, tag="input_audio_buffer.cleared", tag_field="type"):
    """The answer to `clear`."""

    event_id: str


class SpeechStarted(Struct, tag="input_audio_buffer.speech_started", tag_field="type"):
    """Speech begins; ms of all sound of the session."""

    event_id: str
    item_id: str
    audio_start_ms: int


class SpeechStopped(Struct, tag="input_audio_buffer.speech_stopped", tag_field="type"):
    """Speech ends; ms of all sound of the session."""

    event_id: str
    item_id: str
    audio_end_ms: int


class Committed(Struct, tag="input_audio_buffer.committed", tag_field="type"):
    """An item is complete, though its text may not be."""

    event_id: str
    item_id: str
    previous_item_id: str | None


class Content(Struct):
    """The sound of an item."""

    transcript: str | None = None
    type: str = "input_audio"


class Message(Struct):
    """An item."""

    id: str
    content: Sequence[Content] = (Content(),)
    object: str = "realtime.item"
    type: str = "message"
    status: str = "completed"
    role: str = "user"


class ItemNews(Struct):
    """`conversation.item.added` and `.done`; `.created` in the beta."""

    type: str
    event_id: str
    item: Message
    previous_item_id: str | None


class Delta(Struct, tag=f"{_TRANSCRIPTION}.delta", tag_field="type"):
    """More text of an item."""

    event_id: str
    item_id: str
    delta: str
    content_index: int = 0


class Completed(Struct, tag=f"{_TRANSCRIPTION}.completed", tag_field="type"):
    """The whole text of an item."""

    event_id: str
    item_id: str
    transcript: str
    usage: Usage
    content_index: int = 0


class Failed(Struct, tag=f"{_TRANSCRIPTION}.failed", tag_field="type"):
    """An item without its text."""

    event_id: str
    item_id: str
    error: Details
    content_index: int = 0


class ErrorEvent(Struct, tag="error", tag_field="type"):
    """Something was refused or failed."""

    event_id: str
    error: Details


_encoder: Final = msgspec.json.Encoder()
decoder: Final = msgspec.json.Decoder(FromClient)


def encode(event: Struct) -> bytes:
    """An event as JSON."""
    return _encoder.encode(event)
