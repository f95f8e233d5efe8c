"""Exit statuses of the command, and texts for errors and changes of the connection."""

from __future__ import annotations

from typing import Final

from talkup_client.changes import (
    Change,
    ConnectionBroken,
    ConnectionRestored,
    CredentialNotRenewed,
    GatewayBusy,
    SpeakerAwaited,
)
from talkup_client.errors import TalkupError

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
LOST: Final = 3
"""Done, but some of the media was lost or could not be decoded."""
INTERRUPTED: Final = 130


def described(error: TalkupError) -> str:
    """An error as text for the user, with its code."""
    field = f", field {error.field}" if error.field else ""
    return f"{error.message} ({error.code}{field})"


def in_words(change: Change) -> str:
    """A change of the connection as text for the user."""
    match change:
        case ConnectionBroken(reason, retry_s):
            return f"connection lost ({reason}), retrying for up to {retry_s:g} s; ^C gives up"
        case ConnectionRestored(away_s):
            return f"reconnected after {away_s:.1f} s"
        case SpeakerAwaited(retry_s):
            return f"the gateway does not know this session yet: waiting for its speaker for up to {retry_s:g} s"
        case CredentialNotRenewed(reason):
            return f"the credential expires soon and was not renewed ({reason})"
        case GatewayBusy(reason, wait_s):
            return f"the gateway is busy ({reason.rstrip('.')}), retrying in {wait_s:.1f} s"
