"""The Python client of the TalkUp gateway and the `talkup` command.

async with Client("wss://example.org/ws", key=KEY) as client, client.stream(format="audio/flac") as stream:
    await stream.send(chunk)
    await stream.end()
    async for event in stream:
        ...
"""

from talkup_client.client import Client
from talkup_client.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionLostError,
    RefusedError,
    SessionLostError,
    SettingError,
    SlowReaderError,
    TalkupError,
    UnsupportedFileError,
)
from talkup_client.events import (
    AnalysisResult,
    Flow,
    Notice,
    SpeechEvent,
    Status,
    StreamEnded,
    StreamEvent,
    TranscriptUpdate,
    Word,
)
from talkup_client.stream import Stream

__all__ = [
    "AnalysisResult",
    "AuthenticationError",
    "BadAnswerError",
    "Client",
    "ConnectionLostError",
    "Flow",
    "Notice",
    "RefusedError",
    "SessionLostError",
    "SettingError",
    "SlowReaderError",
    "SpeechEvent",
    "Status",
    "Stream",
    "StreamEnded",
    "StreamEvent",
    "TalkupError",
    "TranscriptUpdate",
    "UnsupportedFileError",
    "Word",
]
