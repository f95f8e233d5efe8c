"""The Python client of the TalkUp gateway and the `talkup` command.

async with Client("wss://example.org/ws", key=KEY) as client, client.stream(format="audio/flac") as stream:
    await stream.send(chunk)
    await stream.end()
    async for event in stream:
        ...
"""

from talkup_client.changes import Change, ConnectionBroken, ConnectionRestored, CredentialNotRenewed, GatewayBusy
from talkup_client.client import Client
from talkup_client.delivery import (
    Delivery,
    DeliveryFrame,
    DeliverySummary,
    DeliveryWindow,
    Measure,
    Moment,
    PacePoint,
    PauseBucket,
    SpeechStretch,
)
from talkup_client.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionLostError,
    MicrophoneError,
    NoMediaError,
    RefusedError,
    SessionLostError,
    SettingError,
    SlowReaderError,
    TalkupError,
    UnreadableFileError,
    UnsupportedFileError,
    UnwritableFileError,
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
    "Change",
    "Client",
    "ConnectionBroken",
    "ConnectionLostError",
    "ConnectionRestored",
    "CredentialNotRenewed",
    "Delivery",
    "DeliveryFrame",
    "DeliverySummary",
    "DeliveryWindow",
    "Flow",
    "GatewayBusy",
    "Measure",
    "MicrophoneError",
    "Moment",
    "NoMediaError",
    "Notice",
    "PacePoint",
    "PauseBucket",
    "RefusedError",
    "SessionLostError",
    "SettingError",
    "SlowReaderError",
    "SpeechEvent",
    "SpeechStretch",
    "Status",
    "Stream",
    "StreamEnded",
    "StreamEvent",
    "TalkupError",
    "TranscriptUpdate",
    "UnreadableFileError",
    "UnsupportedFileError",
    "UnwritableFileError",
    "Word",
]
